#include "visage/annotation/video_tracks.h"

#include "tensor/error.h"
#include "visage/annotation/json_records.h"
#include "visage/annotation/ytvis_writer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace visage::annotation {
namespace {

using nlohmann::json;

// tracks.jsonl, line by line.
class LinesReader {
 public:
  explicit LinesReader(std::string name) : name_(std::move(name)) {}

  VideoTracks read(std::string_view text) && {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      add_line(text.substr(begin, end - begin));
      begin = end + 1;
    }
    check<InputError>(frames() > 0, "", name_, ": has no frame");
    data_.video.id = 1;
    data_.tracks = std::move(collector_).take(frames());
    std::sort(data_.categories.begin(), data_.categories.end(),
              [](const Category& a, const Category& b) { return a.id < b.id; });
    return std::move(data_);
  }

 private:
  int64_t frames() const { return data_.video.length(); }

  void add_line(std::string_view text) {
    const std::string where = name_ + ": line " + std::to_string(frames() + 1);
    const json record = json::parse(text.begin(), text.end(), nullptr, false);
    check<InputError>(record.is_object(), "", where, ": not one JSON object; a file of tracks has one a frame");
    const Fields fields(record, where);
    check<InputError>(fields.integer("frame") == frames(), "", where, ": \"frame\" must be ", frames(), "; got ",
                      fields.integer("frame"));
    const json& size = fields.list("size");
    check<InputError>(size.size() == 2 && size[0].is_number_integer() && size[1].is_number_integer(), "", where,
                      ": \"size\" must be [height, width]");
    Video& video = data_.video;
    const auto height = size[0].get<int64_t>(), width = size[1].get<int64_t>();
    if (frames() == 0) video.height = height, video.width = width;
    check<InputError>(height == video.height && width == video.width, "", where,
                      ": \"size\" is another than in line 1");
    for (const json& object : fields.list("objects")) add_object(object, where);
    video.file_names.push_back(to_file_name(fields.at("name"), where + ": \"name\""));
  }

  void add_object(const json& object, const std::string& line) {
    check<InputError>(object.is_object(), "", line, ": \"objects\" must hold objects");
    const Fields fields = Fields::with_id(object, line, "track");
    const int64_t track = fields.integer("track"), category = fields.integer("category_id");
    check<InputError>(track >= 0 && track < std::numeric_limits<int64_t>::max(), "", fields.where(),
                      ": \"track\" must not be negative");
    const bool fresh = category_index_.emplace(category, data_.categories.size()).second;
    if (fresh) data_.categories.push_back({.id = category, .name = fields.string("label"), .supercategory = {}});
    std::vector<std::string> warnings;
    const std::string place = fields.where() + ": \"segmentation\"";
    std::optional<Rle> mask = to_mask(to_segmentation(fields.at("segmentation"), place, warnings),
                                      {data_.video.height, data_.video.width}, place);
    check<InputError>(mask.has_value(), "", place, " is no mask");
    Sighting sighting{.box = bounding_box(*mask), .mask = std::move(mask), .score = fields.finite("score")};
    collector_.add(frames(), track + 1, category, std::move(sighting), fields.where());
  }

  std::string name_;
  VideoTracks data_;
  IdIndex category_index_;
  TrackCollector collector_{ClassChange::take_latest};
};

VideoTracks empty_tracks(const VideoDataset& dataset, int64_t video_id) {
  const auto found = dataset.video_index.find(video_id);
  check<InputError>(found != dataset.video_index.end(), "the data set has no video with id ", video_id);
  return {.video = dataset.videos[found->second], .categories = dataset.categories, .tracks = {}};
}

}  // namespace

void TrackCollector::add(int64_t frame, int64_t track, int64_t category_id, Sighting sighting,
                         const std::string& where) {
  const auto [found, fresh] = index_.emplace(track, tracks_.size());
  if (fresh) tracks_.push_back({.id = track, .category_id = category_id, .frames = {}});
  ObjectTrack& to = tracks_[found->second];
  check<InputError>(change_ == ClassChange::take_latest || to.category_id == category_id, "", where, ": track ", track,
                    " has another class than before; a track has one class in all frames");
  to.category_id = category_id;
  const auto at = static_cast<size_t>(frame);
  if (to.frames.size() <= at) to.frames.resize(at + 1);
  check<InputError>(!to.frames[at], "", where, ": track ", track, " is in this frame already");
  to.frames[at] = std::move(sighting);
}

std::vector<ObjectTrack> TrackCollector::take(int64_t frames) && {
  for (ObjectTrack& track : tracks_) track.frames.resize(static_cast<size_t>(frames));
  return std::move(tracks_);
}

int64_t CategoryNames::id_of(const std::string& name) {
  const auto [found, fresh] = ids_.emplace(name, static_cast<int64_t>(categories_.size()) + 1);
  if (fresh) categories_.push_back({.id = found->second, .name = name, .supercategory = {}});
  return found->second;
}

VideoTracks parse_tracks(std::string_view lines, const std::string& name) { return LinesReader(name).read(lines); }

VideoTracks read_tracks(const std::string& path) { return parse_tracks(read_text(path), path); }

VideoTracks tracks_of(const VideoDataset& dataset, int64_t video_id) {
  VideoTracks result = empty_tracks(dataset, video_id);
  for (const TrackAnnotation& annotation : dataset.annotations) {
    if (annotation.video_id != video_id || annotation.is_crowd) continue;
    ObjectTrack track{.id = annotation.id, .category_id = annotation.category_id, .frames = {}};
    for (size_t frame = 0; frame < annotation.masks.size(); ++frame) {
      const std::optional<Rle>& mask = annotation.masks[frame];
      std::optional<Sighting>& sighting = track.frames.emplace_back();
      if (mask || annotation.boxes[frame])
        sighting = Sighting{.box = mask ? bounding_box(*mask) : *annotation.boxes[frame], .mask = mask};
    }
    result.tracks.push_back(std::move(track));
  }
  return result;
}

VideoTracks tracks_of(const VideoDataset& dataset, std::span<const Prediction> predictions, int64_t video_id) {
  VideoTracks result = empty_tracks(dataset, video_id);
  for (const Prediction& prediction : predictions) {
    if (prediction.video_id != video_id) continue;
    const auto id = static_cast<int64_t>(result.tracks.size()) + 1;
    ObjectTrack track{.id = id, .category_id = prediction.category_id, .frames = {}};
    for (const std::optional<Rle>& mask : prediction.masks) {
      std::optional<Sighting>& sighting = track.frames.emplace_back();
      if (mask) sighting = Sighting{.box = bounding_box(*mask), .mask = mask, .score = prediction.score};
    }
    result.tracks.push_back(std::move(track));
  }
  return result;
}

void select(VideoTracks& tracks, std::span<const int64_t> category_ids, double min_score) {
  for (ObjectTrack& track : tracks.tracks)
    for (std::optional<Sighting>& sighting : track.frames)
      if (sighting && sighting->score < min_score) sighting.reset();
  const auto wanted = [&](int64_t category) {
    return category_ids.empty() || std::find(category_ids.begin(), category_ids.end(), category) != category_ids.end();
  };
  std::erase_if(tracks.categories, [&](const Category& category) { return !wanted(category.id); });
  std::erase_if(tracks.tracks, [&](const ObjectTrack& track) {
    const auto seen = [](const std::optional<Sighting>& sighting) { return sighting.has_value(); };
    return !wanted(track.category_id) || std::none_of(track.frames.begin(), track.frames.end(), seen);
  });
}

void write_ytvis(const std::string& path, const VideoTracks& tracks) {
  YtvisWriter writer(path, "tracks", tracks.categories);
  writer.add_video(tracks.video);
  for (const ObjectTrack& track : tracks.tracks) {
    TrackAnnotation annotation{.id = track.id,
                               .video_id = tracks.video.id,
                               .category_id = track.category_id,
                               .masks = {},
                               .boxes = {},
                               .areas = {}};
    for (const std::optional<Sighting>& sighting : track.frames) {
      annotation.masks.push_back(sighting ? sighting->mask : std::nullopt);
      annotation.boxes.push_back(sighting ? std::optional(sighting->box) : std::nullopt);
      annotation.areas.push_back(!sighting        ? std::nullopt
                                 : sighting->mask ? std::optional(static_cast<double>(area(*sighting->mask)))
                                                  : std::optional(sighting->box.width * sighting->box.height));
    }
    writer.add_annotation(annotation);
  }
  writer.close();
}

}  // namespace visage::annotation
