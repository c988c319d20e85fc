#include "train/data/check.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "train/data/folders.h"
#include "visage/annotation/json_records.h"
#include "visage/media/image_file.h"

#include <algorithm>
#include <filesystem>
#include <utility>

namespace visage::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSampledVideos = 500;

// A video or an image with its files.
struct Entry {
  int64_t id = 0;
  media::Size size;
  std::span<const std::string> files;
};

media::Size size_of(int64_t height, int64_t width) {
  return {.width = static_cast<int>(std::min<int64_t>(width, INT32_MAX)),
          .height = static_cast<int>(std::min<int64_t>(height, INT32_MAX))};
}

std::vector<Entry> entries_of(const annotation::VideoDataset& data) {
  std::vector<Entry> entries;
  for (const annotation::Video& v : data.videos) entries.push_back({v.id, size_of(v.height, v.width), v.file_names});
  return entries;
}

std::vector<Entry> entries_of(const annotation::ImageDataset& data) {
  std::vector<Entry> entries;
  for (const annotation::CocoImage& i : data.images)
    entries.push_back({i.id, size_of(i.height, i.width), {&i.file_name, 1}});
  return entries;
}

DataSummary count_entries(const std::vector<Entry>& entries, const std::vector<annotation::Category>& categories) {
  DataSummary summary;
  summary.videos = static_cast<int64_t>(entries.size());
  for (const Entry& entry : entries) {
    const auto length = static_cast<int64_t>(entry.files.size());
    summary.frames += length;
    summary.shortest = summary.shortest == 0 ? length : std::min(summary.shortest, length);
    summary.longest = std::max(summary.longest, length);
    ++summary.sizes[{entry.size.width, entry.size.height}];
  }
  for (annotation::Category& category : by_id(categories)) summary.classes.push_back({std::move(category), 0});
  return summary;
}

// Adds the instances to the summary; `visit` calls its argument with (owner, category, crowd, visible, absent frames).
class InstanceCounter {
 public:
  InstanceCounter(DataSummary& summary) : summary_(summary), with_objects_(0) {
    for (size_t i = 0; i < summary.classes.size(); ++i) label_.emplace(summary.classes[i].category.id, i);
  }
  void add(int64_t owner, int64_t category, bool crowd, int64_t visible, int64_t absent) {
    if (crowd) {
      ++summary_.crowds;
      return;
    }
    ++summary_.instances;
    ++summary_.classes[label_.at(category)].instances;
    summary_.visible += visible;
    summary_.absent += absent;
    if (visible > 0) with_objects_.emplace(owner, 0);
  }
  void finish() { summary_.videos_without_objects = summary_.videos - static_cast<int64_t>(with_objects_.size()); }

 private:
  DataSummary& summary_;
  annotation::IdIndex label_, with_objects_;
};

DataSummary summarise(const annotation::VideoDataset& data, const std::vector<Entry>& entries) {
  DataSummary summary = count_entries(entries, data.categories);
  InstanceCounter counter(summary);
  for (const annotation::TrackAnnotation& track : data.annotations) {
    const auto visible =
        std::count_if(track.masks.begin(), track.masks.end(), [](const auto& m) { return m && area(*m) > 0; });
    counter.add(track.video_id, track.category_id, track.is_crowd, visible,
                static_cast<int64_t>(track.masks.size()) - visible);
  }
  counter.finish();
  return summary;
}

DataSummary summarise(const annotation::ImageDataset& data, const std::vector<Entry>& entries) {
  DataSummary summary = count_entries(entries, data.categories);
  InstanceCounter counter(summary);
  for (const annotation::CocoInstance& instance : data.instances)
    counter.add(instance.image_id, instance.category_id, instance.is_crowd, 1, 0);
  counter.finish();
  return summary;
}

// A model for these classes would learn nothing of them.
void warn_of_empty_classes(DataReport& report) {
  const std::vector<ClassCount>& classes = report.summary.classes;
  const auto is_empty = [](const ClassCount& one) { return one.instances == 0; };
  const auto empty = std::count_if(classes.begin(), classes.end(), is_empty);
  if (report.ground_truth == annotation::GroundTruth::missing || !report.problems.empty() || empty == 0) return;
  const std::string& first = std::find_if(classes.begin(), classes.end(), is_empty)->category.name;
  report.warnings.push_back(report.annotations + ": " + std::to_string(empty) + " of " +
                            std::to_string(classes.size()) + (empty == 1 ? " classes has" : " classes have") +
                            " no instance" + (empty == 1 ? ": " : ", first ") + first);
}

void check_existence(const DataReport& report, const char* kind, const Entry& entry,
                     std::vector<std::string>& problems) {
  int64_t missing = 0;
  const std::string* first = nullptr;
  for (const std::string& file : entry.files) {
    std::error_code error;
    if (fs::is_regular_file(fs::path(report.image_root) / file, error)) continue;
    if (missing++ == 0) first = &file;
  }
  if (missing == 0) return;
  std::string text = report.annotations + ": " + kind + " " + std::to_string(entry.id) + ": ";
  if (entry.files.size() > 1)
    text += std::to_string(missing) + " of " + std::to_string(entry.files.size()) + " image files are missing, first ";
  text += (fs::path(report.image_root) / *first).string();
  problems.push_back(text + (entry.files.size() > 1 ? "" : " is missing"));
}

void check_image(const DataReport& report, const char* kind, const Entry& entry, const std::string& file,
                 FrameCheck depth, std::vector<std::string>& problems) {
  const fs::path path = fs::path(report.image_root) / file;
  std::error_code missing;
  if (!fs::is_regular_file(path, missing)) return;  // reported already
  const std::string where = report.annotations + ": " + kind + " " + std::to_string(entry.id) + ": ";
  try {
    const media::Size size =
        depth == FrameCheck::all ? media::read_image(path.string()).size() : media::read_image_size(path.string());
    check<InputError>(size == entry.size, "", path.string(), " is ", size.width, "x", size.height,
                      ", the annotations say ", entry.size.width, "x", entry.size.height);
  } catch (const InputError& error) {
    problems.push_back(where + error.what());
  }
}

void check_frames(DataReport& report, const std::vector<Entry>& entries, FrameCheck depth) {
  const char* const kind = report.format == Format::ytvis ? "video" : "image";
  const auto count = static_cast<int64_t>(entries.size());
  const int64_t step = std::max<int64_t>(1, (count + kSampledVideos - 1) / kSampledVideos);
  std::vector<std::vector<std::string>> found(entries.size());
  cpu::parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      check_existence(report, kind, entries[i], found[i]);
      if (depth == FrameCheck::sample && i % step == 0)
        check_image(report, kind, entries[i], entries[i].files[0], depth, found[i]);
      if (depth != FrameCheck::all) continue;
      for (const std::string& file : entries[i].files) check_image(report, kind, entries[i], file, depth, found[i]);
    }
  });
  for (auto& list : found) report.problems.insert(report.problems.end(), list.begin(), list.end());
}

template <class Folder, class Data>
void inspect(Data data, const DataOptions& options, DataReport& report) {
  report.warnings = std::move(data.warnings);
  report.ground_truth = data.ground_truth;
  const std::vector<Entry> entries = entries_of(data);
  report.summary = summarise(data, entries);
  warn_of_empty_classes(report);
  if (options.frames != FrameCheck::none && !entries.empty()) {
    std::vector<std::string> probes;
    for (const Entry& entry : entries) probes.push_back(entry.files[0]);
    report.image_root = options.image_root.empty() ? find_image_root(report.annotations, probes) : options.image_root;
    check_frames(report, entries, options.frames);
  }
  if (report.problems.empty()) report.dataset = std::make_shared<Folder>(std::move(data), report.image_root);
}

}  // namespace

DataReport check_data(const std::string& path, const DataOptions& options) {
  DataReport report{.path = path};
  try {
    report.annotations = find_annotations(path);
    const std::string text = annotation::read_text(report.annotations);
    report.format = guess_format(text);
    if (report.format == Format::ytvis)
      inspect<YtvisFolder>(annotation::inspect_ytvis(text, report.annotations, report.problems), options, report);
    else
      inspect<CocoFolder>(annotation::inspect_coco(text, report.annotations, report.problems), options, report);
  } catch (const InputError& error) {
    report.problems.push_back(error.what());
  }
  return report;
}

std::shared_ptr<const Dataset> require_valid(const DataReport& report) {
  if (report.problems.empty()) return report.dataset;
  const size_t more = report.problems.size() - 1;
  if (more == 0) fail<InputError>("", report.problems[0]);
  fail<InputError>("", report.problems[0], " (and ", more, " more problem", more > 1 ? "s" : "", "; visage data check ",
                   report.path, " lists them)");
}

std::shared_ptr<const Dataset> open_training_data(const std::string& path, const DataOptions& options) {
  const DataReport report = check_data(path, options);
  auto dataset = require_valid(report);
  check<InputError>(report.ground_truth == annotation::GroundTruth::present, "", report.annotations,
                    ": there is no ground truth (\"annotations\" is missing or null); training needs it");
  check<InputError>(report.summary.visible > 0, "", report.annotations, ": no object is visible in any frame");
  return dataset;
}

}  // namespace visage::train
