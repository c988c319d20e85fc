#include "tensor/error.h"
#include "tensor/files.h"
#include "visage/annotation/exchange.h"
#include "visage/annotation/exchange_parts.h"
#include "visage/annotation/json_records.h"

#include <algorithm>
#include <filesystem>

namespace visage::annotation {
namespace {

namespace fs = std::filesystem;

constexpr const char *kText = "gt/gt.txt", *kLabels = "labels.txt", *kSequence = "seqinfo.ini";
constexpr int64_t kMostClasses = 10000;  // lines of labels.txt
constexpr size_t kScore = 6, kClass = 7;

std::string class_lines(const VideoTracks& tracks) {
  int64_t most = 0;
  for (const Category& category : tracks.categories) {
    check<InputError>(category.id >= 1 && category.id <= kMostClasses, "MOT: class ids must be 1 to ", kMostClasses,
                      "; got ", category.id);
    most = std::max(most, category.id);
  }
  std::vector<std::string> names;
  for (int64_t id = 1; id <= most; ++id) names.push_back("class " + std::to_string(id));
  for (const Category& category : tracks.categories) names[static_cast<size_t>(category.id) - 1] = category.name;
  std::string text;
  for (const std::string& name : names) text += name + "\n";
  return text;
}

std::string box_lines(const VideoTracks& tracks) {
  std::string text;
  for (size_t frame = 0; frame < tracks.video.file_names.size(); ++frame) {
    for (const ObjectTrack& track : tracks.tracks) {
      if (!track.frames[frame]) continue;
      const Sighting& seen = *track.frames[frame];
      append(text, frame + 1);
      append(text += ',', track.id);
      for (const double value : {seen.box.x, seen.box.y, seen.box.width, seen.box.height, seen.score})
        append(text += ',', value);
      append(text += ',', track.category_id);
      text += ",1\n";
    }
  }
  return text;
}

// What seqinfo.ini says of the video; nothing without the file.
KnownFrames sequence_frames(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  int64_t length = 0, height = 0, width = 0;
  const std::string text = read_text(path);
  for (const std::string_view line : split(text, '\n')) {
    const std::vector<std::string_view> parts = split(line, '=');
    if (parts.size() != 2) continue;
    for (const auto& [key, value] : {std::pair("seqLength", &length), {"imHeight", &height}, {"imWidth", &width}})
      if (parts[0] == key) *value = to_whole(parts[1], path.string() + ": " + key);
  }
  return unnamed_frames(length, height, width, path.string() + ": seqLength, imWidth and imHeight");
}

void add_line(std::string_view line, const std::string& where, const Video& video, TrackCollector& collector,
              int64_t& most_class) {
  const std::vector<std::string_view> parts = split(line, ',');
  check<InputError>(parts.size() >= 6, "", where, ": must be frame, id, left, top, width, height, ...; got ",
                    parts.size(), " values");
  const int64_t frame = to_whole(parts[0], where) - 1, track = to_whole(parts[1], where);
  check_frame(frame, video, where + ": frame " + std::string(parts[0]));
  const Box box{to_number(parts[2], where), to_number(parts[3], where), to_number(parts[4], where),
                to_number(parts[5], where)};
  check<InputError>(box.width >= 0 && box.height >= 0, "", where, ": the box has a negative size");
  const double score = parts.size() > kScore ? to_number(parts[kScore], where) : 1;
  // Results have -1 here.
  const int64_t category = std::max<int64_t>(parts.size() > kClass ? to_whole(parts[kClass], where) : 1, 1);
  check<InputError>(category <= kMostClasses, "", where, ": class ids must be at most ", kMostClasses);
  most_class = std::max(most_class, category);
  collector.add(frame, track, category, {.box = box, .mask = {}, .score = score}, where);
}

}  // namespace

void write_mot(const std::string& path, const VideoTracks& tracks) {
  check_absent(path);
  files::TemporaryPath place(path, files::Kind::folder, files::Existing::refuse);
  fs::create_directory(place.path() + "/gt");
  files::write_file(place.path() + "/" + kText, box_lines(tracks));
  files::write_file(place.path() + "/gt/" + kLabels, class_lines(tracks));
  std::string sequence = "[Sequence]\nname=" + fs::absolute(path).lexically_normal().filename().string();
  append(sequence += "\nseqLength=", tracks.video.length());
  append(sequence += "\nimWidth=", tracks.video.width);
  append(sequence += "\nimHeight=", tracks.video.height);
  files::write_file(place.path() + "/" + kSequence, sequence + "\n");
  place.publish();
}

VideoTracks read_mot(const std::string& path, const KnownFrames& frames) {
  std::error_code error;
  const fs::path file = fs::is_directory(path, error) ? fs::path(path) / kText : fs::path(path);
  const std::string text = read_text(file);
  const KnownFrames video = frames ? frames : sequence_frames(file.parent_path().parent_path() / kSequence);
  check<InputError>(video.has_value(), "", file.string(),
                    ": does not say how many frames of what size the video has, and there is no seqinfo.ini above it; "
                    "name the frames");
  TrackCollector collector(ClassChange::refuse);
  int64_t most_class = 0, number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (!line.empty())
      add_line(line, file.string() + ": line " + std::to_string(number), *video, collector, most_class);
  }
  VideoTracks result{.video = *video, .categories = {}, .tracks = std::move(collector).take(video->length())};
  const fs::path labels = file.parent_path() / kLabels;
  const std::string lines = fs::exists(labels, error) ? read_text(labels) : "";
  for (const std::string_view line : split(lines, '\n'))
    if (!line.empty())
      result.categories.push_back(
          {.id = static_cast<int64_t>(result.categories.size()) + 1, .name = std::string(line), .supercategory = {}});
  for (auto id = static_cast<int64_t>(result.categories.size()) + 1; id <= most_class; ++id)
    result.categories.push_back({.id = id, .name = "class " + std::to_string(id), .supercategory = {}});
  return result;
}

}  // namespace visage::annotation
