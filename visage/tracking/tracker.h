#pragma once
#include "ops/mask_output/mask_output.h"
#include "tensor/tensor.h"
#include "visage/tracking/config.h"

#include <memory>
#include <span>
#include <vector>

namespace visage::tracking {

/// What the detector says about one frame; row q of everything is query q. Tensors are f32, contiguous and on one
/// device, masks on the host. A tracker needs only what it looks at.
struct FrameQueries {
  Tensor logits;                               // [Q, C+1], the last entry is "no object"
  Tensor object;                               // [Q, D] object (re-identification) embeddings
  Tensor appearance;                           // [Q, A] appearance embeddings
  Tensor decoder = {};                         // [Q, E] the queries as they leave the decoder
  std::span<const ops::QueryMask> masks = {};  // at the output size, [Q]
};

/// The tracks of one frame.
struct FrameTracks {
  std::vector<int> query_of_track;  // index = track; -1 where a track has no query in this frame
  double similarity = 0;            // sum of the similarities of the matches; 0 where nothing was matched
  std::vector<int> noise = {};      // tracks that turn out to be none: they have no part in the result of the video
};

/// Gives the queries of each frame to tracks, frame by frame. A track keeps its index for the whole video, and no other
/// track ever gets it; a tracker that starts tracks later returns longer lists later. A track may be without a query
/// for some frames and come back; one that was called noise does not.
class Tracker {
 public:
  virtual ~Tracker() = default;
  /// throws ShapeError, DTypeError or Error for queries that cannot be tracked; the tracker is then as before the call.
  virtual FrameTracks step(const FrameQueries& queries) = 0;
  /// Forgets everything: the next frame is the first of a video.
  virtual void reset() = 0;
};

/// A tracker whose steps are work of the device, with no part for the host. A step can then be queued behind the
/// detector, captured with it in a graph and replayed, and is read when its frame is: step(x) is read(queue(x)).
class DeviceTracker : public Tracker {
 public:
  /// What a step leaves on the device: new tensors every time. In a replayed graph they get new values with every run.
  struct Queued {
    Tensor assignment, outcome;
  };
  /// Queues the next frame without waiting. throws ShapeError, DTypeError or DeviceError for queries that do not fit.
  /// The memory of the tracker is made with its first frame, which must not be part of a captured graph.
  virtual Queued queue(const FrameQueries& queries) = 0;
  /// The tracks of a frame from a copy, on the CPU, of what was queued; frame by frame in their order. throws Error for
  /// a frame that could not be tracked.
  virtual FrameTracks read(const Queued& copy) = 0;
};

/// The tracker that the configuration names. throws UsageError for a value that it cannot have.
[[nodiscard]] std::unique_ptr<Tracker> make_tracker(const TrackingConfig& config);

}  // namespace visage::tracking
