#pragma once
#include "visage/tracking/detections.h"
#include "visage/tracking/tracker.h"

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace visage::tracking {

/// What the trackers of IDOL and CTVIS have in common. For every frame
///   detect    the queries with a score above least_score, best first, each unless the mask of a better one that was
///             taken overlaps with more than nms_iou
///   match     detections and remembered tracks by bi-softmax (association.h). Greedy: the detections choose in order;
///             of several tracks that match better than least_match, the one with the greatest match * detections so
///             far. Hungarian: the greatest sum of matches; pairs that do not exceed least_match are no pairs.
///   start     a track with every other detection whose score exceeds birth_score
///   remember  the new embeddings: by this the two differ
///   forget    tracks without a detection for `patience` frames: an object that comes back later is another track. From
///             the tenth frame on, tracks with less than least_hits detections, none of them in this frame or the one
///             before, are noise; so are those that are forgotten with less.
/// A frame may match nothing and a track may have no query; works on the host.
class BiSoftmaxTracker : public Tracker {
 public:
  FrameTracks step(const FrameQueries& queries) final;
  void reset() final;

 protected:
  struct Sighting {
    std::vector<float> embedding;
    double score;
  };
  struct Memory {
    std::vector<float> embedding;    // what detections are compared with
    std::deque<Sighting> sightings;  // the last, the newest at the end
  };

  /// throws UsageError for a value out of its range.
  BiSoftmaxTracker(const BiSoftmaxConfig& config, double alpha);
  const BiSoftmaxConfig& config() const { return config_; }

  /// Updates memory.embedding; the sightings are those before this one, none for a new track.
  virtual void remember(Memory& memory, const Sighting& sighting) const = 0;

 private:
  struct Track {
    int id;
    std::int64_t last_seen;
    int hits;
    Memory memory;
  };
  std::vector<int> detected(const Detections& seen, std::span<const ops::QueryMask> masks) const;
  /// For each detection its index in tracks_, or -1; adds the matches to `similarity`.
  std::vector<int> matched(const Tensor& detections, double& similarity) const;
  void see(Track& track, const Detections& seen, int query);
  /// Drops tracks from the memory, and returns those that are noise.
  std::vector<int> forget();

  BiSoftmaxConfig config_;
  double alpha_;
  std::vector<Track> tracks_;  // remembered
  int started_ = 0;            // tracks so far
  std::int64_t frame_ = 0;
};

}  // namespace visage::tracking
