#include "visage/pipeline/outputs.h"

#include "tensor/stage_timer.h"
#include "visage/annotation/results.h"
#include "visage/annotation/rle.h"
#include "visage/media/overlay.h"
#include "visage/media/png.h"
#include "visage/media/sources.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <unistd.h>

namespace visage::pipeline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kPartial = ".partial";
constexpr std::string_view kOutputs[] = {
    "tracks.jsonl", "results.json",           "overlay.mp4", "overlay.gif", "overlay_frames",
    "id_maps",      "embeddings.safetensors", "run.json"};
constexpr double kMostFps = 1000;
constexpr const char* kRemedy = "; check that the folder exists, may be written and has free space";

[[noreturn]] void cannot_write(const std::string& path, const std::string& reason) {
  fail<InputError>("", path, ": cannot be written (", reason, ")", kRemedy);
}

bool is_output(std::string_view name) {
  return std::ranges::any_of(kOutputs, [&](std::string_view output) { return name == output; });
}
// What a run that was killed left unfinished: results.json.tmp.1234.
bool is_leftover(std::string_view name) {
  return std::ranges::any_of(kOutputs, [&](std::string_view output) {
    if (!name.starts_with(output)) return false;
    const std::string_view rest = name.substr(output.size());
    return rest == kPartial || rest.starts_with(".tmp.");
  });
}

bool is_empty(const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!is_leftover(entry.path().filename().string())) return false;
  return true;
}

// The masks of a frame's objects as run lengths and as bytes, made once for all outputs.
struct FrameMasks {
  std::vector<annotation::Rle> run_lengths;
  std::vector<std::vector<std::uint8_t>> bytes;
};

Json object_line(const TrackedObject& object, const annotation::Rle& mask, const std::string& label) {
  const annotation::Box box = annotation::bounding_box(mask);
  return {{"track", object.track},
          {"category_id", object.label + 1},
          {"label", label},
          {"score", object.score},
          {"box", {box.x, box.y, box.width, box.height}},
          {"area", annotation::area(mask)},
          {"segmentation", {{"size", {mask.height, mask.width}}, {"counts", annotation::to_string(mask)}}}};
}

}  // namespace

OutputFolder::OutputFolder(std::string path, Existing existing) : path_(std::move(path)) {
  check<UsageError>(!path_.empty(), "name an output folder with --output");
  std::error_code error;
  created_ = fs::create_directories(path_, error);
  check<InputError>(!error && fs::is_directory(path_, error), "", path_, ": cannot make the output folder (",
                    error ? error.message() : "a file is in the way", "); choose another place");
  try {
    check<InputError>(existing == Existing::replace || is_empty(path_), "", path_,
                      ": is not empty; pass --overwrite to replace the results in it, or choose another folder");
  } catch (const fs::filesystem_error& unreadable) {
    fail<InputError>("", path_, ": cannot read the output folder (", unreadable.code().message(),
                     "); choose another place");
  }
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (created_) fs::remove(path_, ignored);  // does nothing unless it is empty
}

void OutputFolder::clear() const {
  std::vector<fs::path> old;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, error))
    if (const std::string name = entry.path().filename(); is_output(name) || is_leftover(name))
      old.push_back(entry.path());
  for (const fs::path& path : old) fs::remove_all(path, error);
}

std::string class_name(const std::vector<std::string>& class_names, int label) {
  const auto index = static_cast<std::size_t>(label);
  return index < class_names.size() ? class_names[index] : "class " + std::to_string(label + 1);
}

// tracks.jsonl, flushed line by line.
class OutputWriter::Lines {
 public:
  explicit Lines(std::string path) : path_(std::move(path)), file_(std::fopen((path_ + kPartial).c_str(), "we")) {
    if (!file_) cannot_write(path_, std::strerror(errno));
  }
  ~Lines() {
    if (!file_) return;
    std::fclose(file_);
    if (lines_ == 0) unlink((path_ + kPartial).c_str());
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void add(const std::string& line) {
    const bool written = std::fwrite(line.data(), 1, line.size(), file_) == line.size();
    if (!written || std::fputc('\n', file_) == EOF || std::fflush(file_) != 0)
      cannot_write(path_, std::strerror(errno));
    ++lines_;
  }

  void publish() {
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!closed || std::rename((path_ + kPartial).c_str(), path_.c_str()) != 0)
      cannot_write(path_, std::strerror(errno));
  }

 private:
  std::string path_;
  std::FILE* file_;
  std::int64_t lines_ = 0;
};

// id_maps/, made under a temporary name.
class OutputWriter::Maps {
 public:
  explicit Maps(std::string path) : path_(std::move(path)), temporary_(path_ + kPartial) {
    std::error_code error;
    fs::remove_all(temporary_, error);
    if (!fs::create_directory(temporary_, error)) cannot_write(path_, error.message());
  }
  ~Maps() {
    std::error_code ignored;
    fs::remove_all(temporary_, ignored);
  }
  Maps(const Maps&) = delete;
  Maps& operator=(const Maps&) = delete;

  void add(const FrameResult& result, const FrameMasks& masks) {
    std::vector<std::uint16_t> ids(static_cast<std::size_t>(result.size.height * result.size.width));
    for (std::size_t i = result.objects.size(); i-- > 0;) {
      const auto id = static_cast<std::uint16_t>(result.objects[i].track + 1);
      for (std::size_t p = 0; p < ids.size(); ++p)
        if (masks.bytes[i][p]) ids[p] = id;
    }
    char name[32];
    std::snprintf(name, sizeof name, "/%05lld.png", static_cast<long long>(result.index));
    media::write_id_map(temporary_ + name, ids,
                        {static_cast<int>(result.size.width), static_cast<int>(result.size.height)},
                        media::IdMapFormat::grey16);
  }

  void publish() {
    std::error_code error;
    fs::rename(temporary_, path_, error);
    if (error) cannot_write(path_, error.message());
  }

 private:
  std::string path_, temporary_;
};

OutputWriter::OutputWriter(const OutputFolder& folder, OutputOptions options)
    : folder_(folder), options_(std::move(options)), lines_(std::make_unique<Lines>(folder.file("tracks.jsonl"))) {
  if (options_.id_maps == IdMaps::png) maps_ = std::make_unique<Maps>(folder.file("id_maps"));
  if (!options_.overlay) return;
  // Some containers give a tick rate for the frame rate.
  const double fps = options_.clip.fps > 0 && options_.clip.fps <= kMostFps ? options_.clip.fps : media::kDefaultFps;
  overlay_ = media::open_video_writer(folder.file("overlay"),
                                      {.size = options_.clip.size, .fps = fps, .format = *options_.overlay});
}

OutputWriter::~OutputWriter() = default;

void OutputWriter::add(const TrackedFrame& tracked) {
  const FrameResult& result = tracked.result;
  const StageTimer timer("write output");
  FrameMasks masks;
  Json objects = Json::array();
  for (const TrackedObject& object : result.objects) {
    masks.run_lengths.push_back(annotation::encode_columns(object.mask.data(), result.size.height, result.size.width));
    objects.push_back(object_line(object, masks.run_lengths.back(), class_name(options_.class_names, object.label)));
    if (maps_ || overlay_) masks.bytes.push_back(annotation::decode_rows(masks.run_lengths.back()));
  }
  const Json line = {{"frame", result.index},
                     {"name", tracked.frame.name},
                     {"size", {result.size.height, result.size.width}},
                     {"objects", std::move(objects)}};
  lines_->add(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (maps_) maps_->add(result, masks);
  if (!overlay_) return;
  std::vector<media::OverlayTrack> drawn;
  for (std::size_t i = 0; i < result.objects.size(); ++i) {
    const TrackedObject& object = result.objects[i];
    drawn.push_back({.id = object.track,
                     .label = class_name(options_.class_names, object.label),
                     .score = static_cast<float>(object.score),
                     .mask = masks.bytes[i]});
  }
  media::Image image = tracked.frame.image;
  media::draw_overlay(image, drawn);
  overlay_->add(image);
}

void OutputWriter::write_results(const VideoPipeline& pipeline) {
  annotation::ResultsWriter results(folder_.file("results.json"));
  pipeline.for_each_track([&](const VideoTrack& track) {
    results.begin(options_.video_id, track.scored.score, track.scored.label + 1);
    for (std::int64_t frame = 0; frame < pipeline.frames(); ++frame) {
      const std::string counts = track.mask(frame);
      if (counts.empty())
        results.add_absent();
      else
        results.add_mask(options_.clip.size.height, options_.clip.size.width, counts);
    }
    results.end();
    ++rows_;
  });
  results.close();
}

void OutputWriter::finish(const VideoPipeline& pipeline) {
  const StageTimer timer("write results");
  if (overlay_) overlay_->close();
  if (maps_) maps_->publish();
  write_results(pipeline);
  lines_->publish();
}

std::vector<std::string> OutputWriter::files() const {
  std::vector<std::string> names = {"tracks.jsonl"};
  if (overlay_) names.push_back(fs::path(overlay_->path()).filename().string());
  if (maps_) names.push_back("id_maps");
  names.push_back("results.json");
  return names;
}

}  // namespace visage::pipeline
