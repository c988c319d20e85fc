#pragma once
#include "visage/annotation/results.h"
#include "visage/annotation/rle.h"
#include "visage/annotation/ytvis.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace visage::annotation {

/// An object in one frame.
struct Sighting {
  Box box;
  std::optional<Rle> mask;  // of the video's size; none where only the box is known
  double score = 1;
};

/// One object through the video; one entry a frame, nothing where it is absent.
struct ObjectTrack {
  int64_t id = 0, category_id = 0;
  std::vector<std::optional<Sighting>> frames;
};

/// All tracks of one video: what the formats of labelling tools are written from and read into.
struct VideoTracks {
  Video video;
  std::vector<Category> categories;
  std::vector<ObjectTrack> tracks;
};

/// A track that has other classes in other frames.
enum class ClassChange { refuse, take_latest };

/// Collects tracks sighting by sighting.
class TrackCollector {
 public:
  explicit TrackCollector(ClassChange change) : change_(change) {}

  /// `frame` counts from 0; it may grow beyond the frames that were seen. Throws InputError "where: ..." when the track
  /// is in that frame already or, unless the latest class counts, had another class before.
  void add(int64_t frame, int64_t track, int64_t category_id, Sighting sighting, const std::string& where);
  /// Tracks in the order in which they were first seen, with `frames` entries each.
  std::vector<ObjectTrack> take(int64_t frames) &&;

 private:
  ClassChange change_;
  std::vector<ObjectTrack> tracks_;
  IdIndex index_;
};

/// Classes that a file names, for formats without class ids: 1, 2, ... in the order in which they come up.
class CategoryNames {
 public:
  int64_t id_of(const std::string& name);
  std::vector<Category> take() && { return std::move(categories_); }

 private:
  std::vector<Category> categories_;
  std::unordered_map<std::string, int64_t> ids_;
};

/// Reads tracks.jsonl. The id of a track is the file's plus 1, so that none is 0; its class is that of its last frame.
/// Throws InputError naming file, line and rule for anything that is not this format.
[[nodiscard]] VideoTracks read_tracks(const std::string& path);
/// The same from memory; `name` stands for the file in messages.
[[nodiscard]] VideoTracks parse_tracks(std::string_view lines, const std::string& name);

/// Annotations, or predictions of the data set, of one of its videos. Predictions become tracks 1, 2, ... in their
/// order. Throws InputError when there is no such video.
[[nodiscard]] VideoTracks tracks_of(const VideoDataset& dataset, int64_t video_id);
[[nodiscard]] VideoTracks tracks_of(const VideoDataset& dataset, std::span<const Prediction> predictions,
                                    int64_t video_id);

/// Takes away sightings below `min_score` and, unless `category_ids` is empty, other classes and their tracks; then
/// tracks that are in no frame. Ids stay as they are.
void select(VideoTracks& tracks, std::span<const int64_t> category_ids, double min_score);

/// Writes a YouTube-VIS annotation file of the one video. It has no scores. Throws InputError when writing fails.
void write_ytvis(const std::string& path, const VideoTracks& tracks);

}  // namespace visage::annotation
