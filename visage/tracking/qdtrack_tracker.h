#pragma once
#include "visage/tracking/detections.h"
#include "visage/tracking/tracker.h"

#include <cstdint>
#include <span>
#include <vector>

namespace visage::tracking {

/// The tracker of QDTrack (Pang et al., CVPR 2021), on masks instead of boxes. For every frame
///   detect    the queries with a score above least_score, best first, unless the mask of a better one overlaps with
///             more than nms_iou, or low_score_iou for a score below keep_score
///   match     detections with remembered tracks and backdrops by bi-softmax (association.h), 0 between classes.
///   Greedy:
///             each detection, in order, takes the best that is left. A match with a backdrop, or one that does not
///             exceed least_match, is none; a match of a detection with a score up to keep_score is dropped with it.
///   start     a track with every other detection whose score exceeds birth_score
///   remember  e <- (1 - momentum) e + momentum e_new for a track. Detections without a track whose masks overlap with
///             no better one by more than low_score_iou are backdrops for the next backdrop_frames frames: what
///             resembles them should not be taken for a track.
///   forget    tracks without a detection for `patience` frames
/// Works on the host.
class QdtrackTracker final : public Tracker {
 public:
  /// `alpha` weighs appearance where both embeddings are compared. throws UsageError for a value out of its range.
  QdtrackTracker(const QdtrackConfig& config, double alpha);

  FrameTracks step(const FrameQueries& queries) override;
  void reset() override;

 private:
  struct Candidate {
    int id;  // of a track; -1 for a backdrop
    int label;
    std::int64_t last_seen;
    std::vector<float> embedding;
  };
  struct Match {
    int candidate = -1;  // index in memory_
    double value = 0;
  };
  std::vector<int> detected(const Detections& seen, const MaskOverlaps& overlaps) const;
  std::vector<Match> matched(const Detections& seen, std::span<const int> found) const;
  void update(Candidate& track, const Detections& seen, int query);

  QdtrackConfig config_;
  double alpha_;
  std::vector<Candidate> memory_;
  int started_ = 0;
  std::int64_t frame_ = 0;
};

}  // namespace visage::tracking
