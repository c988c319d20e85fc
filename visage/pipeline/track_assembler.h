#pragma once
#include "visage/pipeline/mask_spool.h"
#include "visage/pipeline/query_frame.h"
#include "visage/pipeline/score_mode.h"
#include "visage/pipeline/video_scores.h"
#include "visage/tracking/config.h"
#include "visage/tracking/tracker.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace visage::pipeline {

/// Whether masks are kept, in a temporary file, for the result of the whole video. A stream without an end has none.
enum class VideoResult { kept, none };

struct AssemblyOptions {
  VideoResult result = VideoResult::kept;
  ScoreMode scores = ScoreMode::video;
  int top_k = 0;           // (track, class) pairs of the result; 0: as many as there are classes, of clips 10
  double min_score = 0.3;  // least score of the objects a frame lists (the video result has no threshold)
};

/// One object in one frame, with what is known up to this frame.
struct TrackedObject {
  int track = 0;
  int label = 0;  // class index, from 0
  double score = 0;
  std::vector<std::uint64_t> mask;  // at the output size, column-major bits as in ops::QueryMask
};

struct FrameResult {
  std::int64_t index = 0;              // in the video, from 0
  ops::ImageSize size;                 // of the masks
  std::vector<TrackedObject> objects;  // best first; every track at most once
};

/// A row of the video's result. `masks(frame)` reads the compressed run-length string of a frame, empty where the track
/// has no mask.
struct VideoTrack {
  ScoredTrack scored;
  std::function<std::string(std::int64_t frame)> mask;
};

/// Turns the queries of consecutive frames into tracks: assignment, scores, masks at the output size. What it keeps in
/// memory grows with the tracks that were ever started, not with the frames.
class TrackAssembler {
 public:
  TrackAssembler(const AssemblyOptions& options, std::unique_ptr<tracking::Tracker> tracker);
  /// With the tracker that the configuration names. throws UsageError for impossible options.
  TrackAssembler(const AssemblyOptions& options, const TrackingConfig& tracking);

  /// The next frame.
  FrameResult add(const QueryFrame& frame);
  /// The result over all frames so far, best first: with ScoreMode::video by class probability, as in the official
  /// code, with ScoreMode::online by the mean score of the frames that list the track.
  /// throws Error with VideoResult::none.
  void for_each_track(const std::function<void(const VideoTrack&)>& visit) const;

  std::int64_t frames() const { return frames_; }
  /// Which query each track had in the last frame.
  const std::vector<int>& assignment() const { return assignment_; }
  const VideoScores& scores() const { return *scores_; }
  /// The tracker, if its steps can be queued behind the detector (QueryFrame::tracked); else null.
  tracking::DeviceTracker* device_tracker() { return dynamic_cast<tracking::DeviceTracker*>(tracker_.get()); }

 private:
  // What has been said about a track frame by frame.
  struct Emitted {
    double score_sum = 0;
    int frames = 0, label = 0;
  };
  tracking::FrameTracks tracks_of(const QueryFrame& frame);
  /// The tracks of the current frame that reach min_score and have a mask, best first, each once.
  std::vector<ScoredTrack> list_tracks(const QueryFrame& frame) const;
  /// Run-length strings of the current frame, ascending by track: what belongs to the result of the video.
  std::vector<MaskSpool::Entry> kept_masks(const QueryFrame& frame, const std::vector<ScoredTrack>& listed) const;
  int top_k() const;

  AssemblyOptions options_;
  std::unique_ptr<tracking::Tracker> tracker_;
  int classes_ = 0;
  MaskQuality quality_ = MaskQuality::counts;
  std::optional<VideoScores> scores_;
  std::unique_ptr<MaskSpool> spool_;  // with VideoResult::kept
  std::int64_t frames_ = 0;
  std::vector<int> assignment_;
  std::vector<Emitted> emitted_;
};

}  // namespace visage::pipeline
