#include "cli/pseudo.h"

#include "tensor/error.h"
#include "visage/pseudo/dataset_writer.h"
#include "visage/pseudo/procedural.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <ostream>
#include <string_view>

namespace visage::cli {
namespace {

namespace fs = std::filesystem;

// How the description in an annotation file of this command begins.
constexpr const char* kDescription = "visage pseudo: ";

// Whether a name is `start` and digits, with `end` after them.
bool is_numbered(const std::string& name, std::string_view start, std::string_view end) {
  if (name.size() <= start.size() + end.size() || !name.starts_with(start) || !name.ends_with(end)) return false;
  const std::string_view digits = std::string_view(name).substr(start.size(), name.size() - start.size() - end.size());
  return digits.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_own_name(const fs::path& file) {
  const std::string first = file.begin()->string(), last = file.filename().string();
  const auto depth = std::distance(file.begin(), file.end());
  if (depth == 1)
    return last == pseudo::kAnnotationFile || last == pseudo::kImageFolder ||
           is_numbered(last, pseudo::kVideoPrefix, ".mp4") || is_numbered(last, pseudo::kVideoPrefix, ".gif");
  if (first != pseudo::kImageFolder || !is_numbered(std::next(file.begin())->string(), pseudo::kVideoPrefix, ""))
    return false;
  return depth == 2 || (depth == 3 && is_numbered(last, "", ".png"));
}

// throws InputError unless everything in the folder is a set of this command, which its annotations say and its names.
void check_own(const fs::path& folder) {
  std::ifstream annotations(folder / pseudo::kAnnotationFile, std::ios::binary);
  const std::string start = std::string("{\"info\":{\"description\":\"") + kDescription;
  std::string found(start.size(), '\0');
  annotations.read(found.data(), static_cast<std::streamsize>(found.size()));
  check<InputError>(found == start, "", folder.string(),
                    ": holds something else than a pseudo data set; choose another output folder");
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const fs::path name = entry.path().lexically_relative(folder);
    check<InputError>(is_own_name(name) && !entry.is_symlink(), "", entry.path().string(),
                      ": is not part of the pseudo data set around it; move it away or choose another output folder");
  }
}

// Folder of the split, which is made or may be replaced.
fs::path find_folder(const PseudoCommand& command) {
  check<UsageError>(
      fs::path(command.split).filename() == command.split && command.split != "." && command.split != "..",
      "pseudo: the split must be the name of one folder; got \"", command.split, "\"");
  const fs::path folder =
      fs::path(command.output) / (command.split.empty() ? name_of(command.options.mode) : command.split);
  std::error_code error;
  fs::create_directories(command.output, error);
  check<InputError>(!error, "", folder.string(), ": cannot be made (", error.message(),
                    "); choose another output folder");
  if (!fs::is_directory(folder) || fs::is_empty(folder)) return folder;
  check<InputError>(command.existing == files::Existing::replace, "", folder.string(),
                    ": is not empty; pass --overwrite to replace the set in it, or choose another output folder");
  check_own(folder);
  return folder;
}

void announce(const pseudo::PseudoVideo& video, int64_t index, int64_t videos, std::ostream& log) {
  log << "pseudo: video " << index + 1 << "/" << videos << ": ";
  for (size_t i = 0; i < video.objects().size(); ++i) log << (i ? ", " : "") << video.objects()[i].identity;
  if (video.swap_frame()) log << "; swap at frame " << *video.swap_frame();
  log << std::endl;
}

}  // namespace

void run_pseudo(const PseudoCommand& command, std::ostream& log) {
  pseudo::check_options(command.options);
  check<UsageError>(command.videos >= 1 && command.videos <= 1000000,
                    "pseudo: videos must be between 1 and 1000000; got ", command.videos);
  check<UsageError>(!command.output.empty(), "pseudo: name an output folder");
  const pseudo::ProceduralObjects objects;
  const pseudo::ProceduralBackgrounds backgrounds;
  try {
    files::TemporaryPath place(find_folder(command).string(), files::Kind::folder, command.existing);
    const std::optional<double> clip_fps = command.clips == Clips::mp4 ? std::optional(command.fps) : std::nullopt;
    pseudo::DatasetWriter writer(place.path(), kDescription + describe(command.options, command.videos),
                                 objects.categories(), clip_fps);
    for (int64_t index = 0; index < command.videos; ++index) {
      const pseudo::PseudoVideo video(command.options, index, objects, backgrounds);
      announce(video, index, command.videos, log);
      writer.add(video);
    }
    writer.close();
    place.publish();
    log << "pseudo: wrote " << place.target() << "/" << pseudo::kAnnotationFile << std::endl;
  } catch (const fs::filesystem_error& error) {
    fail<InputError>("pseudo: ", error.what());
  }
}

}  // namespace visage::cli
