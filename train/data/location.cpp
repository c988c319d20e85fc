#include "train/data/location.h"

#include "tensor/error.h"

#include <algorithm>
#include <filesystem>
#include <vector>

namespace visage::train {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// Whether the text has `"key":`.
bool has_key(std::string_view json, std::string_view key) {
  const std::string quoted = '"' + std::string(key) + '"';
  for (size_t at = json.find(quoted); at != std::string_view::npos; at = json.find(quoted, at + 1)) {
    const size_t after = json.find_first_not_of(" \t\r\n", at + quoted.size());
    if (after != std::string_view::npos && json[after] == ':') return true;
  }
  return false;
}

}  // namespace

std::string find_annotations(const std::string& path) {
  std::error_code error;
  check<InputError>(fs::exists(path, error), "", path, ": there is no such file or folder");
  if (!fs::is_directory(path, error)) return path;
  fs::path folder = fs::path(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  for (const char* name : {"instances.json", "annotations.json"})
    if (is_file(folder / name)) return (folder / name).string();
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".json" && entry.is_regular_file(error)) found.push_back(entry.path());
  if (found.size() == 1) return found[0].string();
  const fs::path beside = fs::absolute(folder).parent_path() / (fs::absolute(folder).filename().string() + ".json");
  if (found.empty() && is_file(beside)) return beside.string();
  fail<InputError>("", path, ": ", found.empty() ? "no annotation file" : "several .json files",
                   " in this folder; name the annotation file, or call it instances.json");
}

Format guess_format(std::string_view json) {
  if (has_key(json, "videos")) return Format::ytvis;
  return has_key(json, "images") || has_key(json, "image_id") ? Format::coco : Format::ytvis;
}

std::string find_image_root(const std::string& annotations, std::span<const std::string> files) {
  const fs::path file(annotations), folder = file.parent_path(), above = folder / "..";
  const std::string stem = file.stem().string();
  const std::string split = stem.substr(stem.rfind('_') + 1);  // annotations_train, instances_val2017
  const std::vector<fs::path> roots{folder / "JPEGImages",
                                    folder / stem / "JPEGImages",
                                    folder / stem,
                                    above / split,
                                    above / split / "JPEGImages",
                                    above / (split + "2017"),
                                    folder / split,
                                    folder / "images",
                                    above / "images",
                                    folder.empty() ? fs::path(".") : folder};
  constexpr size_t kProbes = 20;
  const size_t step = std::max<size_t>(1, files.size() / kProbes);
  for (const fs::path& root : roots)
    for (size_t i = 0; i < files.size(); i += step)
      if (is_file(root / files[i])) return root.lexically_normal().string();
  std::string tried;
  for (const fs::path& root : roots) tried += (tried.empty() ? "" : ", ") + root.lexically_normal().string();
  fail<InputError>("", annotations, ": no folder has its images (", files.empty() ? "it names none" : files[0],
                   "); looked in ", tried, "; name the image folder");
}

}  // namespace visage::train
