#include "visage/pipeline/outputs.h"

#include "tensor/log.h"
#include "tensor/stage_timer.h"
#include "visage/annotation/results.h"
#include "visage/annotation/rle.h"
#include "visage/media/frame_rate.h"
#include "visage/media/overlay.h"
#include "visage/media/png.h"
#include "visage/pipeline/class_name.h"
#include "visage/pipeline/frame_line.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace visage::pipeline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *kResults = "results.json", *kLines = "tracks.jsonl", *kMaps = "id_maps",
                     *kFrames = "overlay_frames", *kEmbeddings = "embeddings.safetensors", *kRecord = "run.json";
constexpr const char* kOutputs[] = {kResults,      kLines,  kMaps,       "overlay.mp4",
                                    "overlay.gif", kFrames, kEmbeddings, kRecord};

bool is_empty(const fs::path& folder) {
  const fs::directory_iterator entries(folder);
  return std::all_of(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return files::is_leftover(entry.path().filename().string());
  });
}

// The results that the run.json of a folder names, and itself; none without one.
std::vector<std::string> recorded_outputs(const std::string& folder) {
  const std::string path = folder + "/" + kRecord;
  std::error_code error;
  if (!fs::exists(path, error)) return {};
  std::ifstream stream(path);
  const Json record = Json::parse(stream, nullptr, false);
  const bool ours =
      record.is_object() && record.contains("visage") && record.contains("files") && record["files"].is_array();
  check<InputError>(ours, "", path, ": is not of an earlier run; choose another output folder");
  std::vector<std::string> names;
  for (const char* output : kOutputs)
    if (std::find(record["files"].begin(), record["files"].end(), output) != record["files"].end())
      names.push_back(output);
  return names;
}

// Where a path leads, whatever links it goes through.
fs::path real(const fs::path& path) {
  std::error_code error;
  const fs::path found = fs::weakly_canonical(path, error);
  return error ? fs::absolute(path).lexically_normal() : found;
}

// The masks of a frame's objects as run lengths and as bytes, made once for all outputs.
struct FrameMasks {
  std::vector<annotation::Rle> run_lengths;
  std::vector<std::vector<std::uint8_t>> bytes;
};

// Whether a class is among the chosen ones.
bool is_chosen(const std::vector<int>& labels, int label) {
  return labels.empty() || std::find(labels.begin(), labels.end(), label) != labels.end();
}

// What is written of a frame.
FrameResult chosen_objects(FrameResult result, const std::vector<int>& labels) {
  std::erase_if(result.objects, [&](const TrackedObject& object) { return !is_chosen(labels, object.label); });
  return result;
}

// A rate that a clip can have. Some containers give a tick rate for the frame rate; a stride makes slow clips.
double playable(double fps) {
  if (fps > media::kMostFps || !(fps > 0)) return media::kDefaultFps;
  return std::max(fps, media::kLeastFps);
}

}  // namespace

OutputFolder::OutputFolder(std::string path, Existing existing) : path_(std::move(path)) {
  check<UsageError>(!path_.empty(), "name an output folder");
  std::error_code error;
  created_ = fs::create_directories(path_, error);
  check<InputError>(!error && fs::is_directory(path_, error), "", path_, ": cannot make the output folder (",
                    error ? error.message() : "a file is in the way", "); choose another place");
  lock_ = files::FolderLock::take(path_);
  check<InputError>(lock_ != nullptr, "", path_,
                    ": another run writes in this folder; wait for its end or choose another folder");
  try {
    check<FolderInUseError>(existing == Existing::replace || is_empty(path_), "", path_,
                            ": is not empty; choose another folder");
  } catch (const fs::filesystem_error& unreadable) {
    fail<InputError>("", path_, ": cannot read the output folder (", unreadable.code().message(),
                     "); choose another place");
  }
  earlier_ = recorded_outputs(path_);
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (created_) fs::remove(path_, ignored);  // does nothing unless it is empty
}

void OutputFolder::check_inputs(const std::vector<std::string>& inputs) const {
  const fs::path folder = real(path_);
  for (const std::string& input : inputs) {
    const fs::path within = real(input).lexically_relative(folder);
    if (within.empty() || *within.begin() == "..") continue;
    const std::string name = within.begin()->string();
    const bool is_output = std::find(std::begin(kOutputs), std::end(kOutputs), name) != std::end(kOutputs);
    const bool replaced = is_output && (existing(name) == Existing::replace || !fs::is_directory(folder / name));
    check<InputError>(!replaced, "", input, ": is one of the results in ", path_,
                      " that this run would replace; choose another output folder");
  }
}

Existing OutputFolder::existing(const std::string& name) const {
  return std::find(earlier_.begin(), earlier_.end(), name) != earlier_.end() ? Existing::replace : Existing::refuse;
}

void OutputFolder::remove_earlier(const std::vector<std::string>& kept) const {
  std::error_code ignored;
  for (const char* name : kOutputs) files::remove_leftovers(file(name));
  for (const std::string& name : earlier_)
    if (std::find(kept.begin(), kept.end(), name) == kept.end()) fs::remove_all(file(name), ignored);
}

// tracks.jsonl, line by line; what there is stays when the run fails.
class OutputWriter::Lines {
 public:
  explicit Lines(std::string path) : file_(std::move(path)) {}
  ~Lines() {
    if (lines_ > 0) file_.keep();
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void add(const std::string& line) {
    file_.write(line + "\n");
    ++lines_;
  }
  void publish() { file_.commit(); }

 private:
  files::AtomicFile file_;
  std::int64_t lines_ = 0;
};

// id_maps/
class OutputWriter::Maps {
 public:
  explicit Maps(const OutputFolder& folder) : place_(folder.file(kMaps), files::Kind::folder, folder.existing(kMaps)) {}

  void add(const FrameResult& result, const FrameMasks& masks) {
    std::vector<std::uint16_t> ids(static_cast<std::size_t>(result.size.height * result.size.width));
    for (std::size_t i = result.objects.size(); i-- > 0;) {
      const auto id = static_cast<std::uint16_t>(std::min(result.objects[i].track + 1, 0xffff));
      if (id == 0xffff && !full_) {
        full_ = true;
        log::warn("id maps have 16 bits: tracks from the 65535th on share the last number in them");
      }
      for (std::size_t p = 0; p < ids.size(); ++p)
        if (masks.bytes[i][p]) ids[p] = id;
    }
    char name[32];
    std::snprintf(name, sizeof name, "/%05lld.png", static_cast<long long>(result.index));
    const media::Size size{static_cast<int>(result.size.width), static_cast<int>(result.size.height)};
    files::write_file(place_.path() + name, media::encode_id_map(ids, size));
  }
  void publish() { place_.publish(); }

 private:
  bool full_ = false;
  files::TemporaryPath place_;
};

OutputWriter::OutputWriter(const OutputFolder& folder, OutputOptions options)
    : folder_(folder), options_(std::move(options)), lines_(std::make_unique<Lines>(folder.file(kLines))) {
  if (options_.embeddings == Embeddings::dump) embeddings_.emplace(folder.file(kEmbeddings));
  if (options_.id_maps == IdMaps::png) maps_ = std::make_unique<Maps>(folder);
  if (!options_.overlay) return;
  overlay_ = media::open_video_writer(folder.file("overlay"), {.size = options_.clip.size,
                                                               .fps = playable(options_.clip.fps),
                                                               .format = *options_.overlay,
                                                               .existing = folder.existing(kFrames)});
}

OutputWriter::~OutputWriter() = default;

void OutputWriter::observe(const QueryFrame& queries) {
  if (embeddings_) embeddings_->add(queries);
}

void OutputWriter::add(const TrackedFrame& tracked) {
  const FrameResult result = chosen_objects(tracked.result, options_.labels);
  const StageTimer timer("write output");
  FrameMasks masks;
  for (const TrackedObject& object : result.objects) {
    masks.run_lengths.push_back(annotation::encode_columns(object.mask.data(), result.size.height, result.size.width));
    if (maps_ || overlay_) masks.bytes.push_back(annotation::decode_rows(masks.run_lengths.back()));
  }
  if (embeddings_) frame_names_.push_back(tracked.frame.name);
  lines_->add(frame_line(result, masks.run_lengths, tracked.frame.name, options_.class_names));
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
  annotation::ResultsWriter results(folder_.file(kResults));
  pipeline.for_each_track([&](const VideoTrack& track) {
    if (!is_chosen(options_.labels, track.scored.label)) return;
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
  write_results(pipeline);
  published_.push_back(kResults);
  std::string failed;
  const auto publish = [&](const std::string& name, const auto& write) {
    try {
      write();
      published_.push_back(name);
    } catch (const InputError& error) {
      if (failed.empty()) failed = error.what();
    }
  };
  publish(kLines, [&] { lines_->publish(); });
  if (maps_) publish(kMaps, [&] { maps_->publish(); });
  if (overlay_) publish(fs::path(overlay_->path()).filename().string(), [&] { overlay_->close(); });
  if (embeddings_)
    publish(kEmbeddings, [&] { embeddings_->close(options_.clip.name, frame_names_, pipeline.mask_sizes()); });
  check<InputError>(failed.empty(), "", failed, "; ", folder_.file(kResults), " is complete");
}

}  // namespace visage::pipeline
