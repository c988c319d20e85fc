#pragma once
#include "ops/track/tracker_step.h"
#include "visage/tracking/config.h"
#include "visage/tracking/tracker.h"

namespace visage::tracking {

/// The tracker of VISAGE (Kim et al., ECCV 2024): one track slot a query, defined by the first frame, and for every
/// later frame
///   read    memories of object and appearance embeddings (Eq. 1)
///   match   maximise the sum of (1 - alpha) cos(object) + alpha cos(appearance) over one-to-one assignments
///   permute queries into slot order
///   insert  their embeddings and scores into the memories
/// in this order. (Algorithm 1 of the paper prints the insertion before the matching, which would compare a frame with
/// itself; the released code does what is written here.) There are no thresholds, births or deaths.
///
/// The score of a query is its largest probability of a real class. A query with an embedding of zero norm is similar
/// to nothing (0) in that term.
///
/// The computation is ops::tracker_step, on the device of the queries: that of the first frame of a video.
class VisageTracker final : public DeviceTracker {
 public:
  /// throws UsageError if alpha is outside [0, 1] or the window is below 1.
  explicit VisageTracker(const TrackingConfig& config = {});

  /// Every frame must have as many queries and channels as the first, on the same device. A value that is not finite is
  /// refused. Waits for the device.
  FrameTracks step(const FrameQueries& queries) override;
  Queued queue(const FrameQueries& queries) override;
  FrameTracks read(const Queued& copy) override;
  void reset() override;

  // About the last frame, in slot order, as a copy on the CPU.
  /// What it was matched with: f32 [K, D] and [K, A]; empty after the first frame.
  Tensor object_memory() const { return matched_with(state_.object_memory); }
  Tensor appearance_memory() const { return matched_with(state_.appearance_memory); }
  /// Scores, f32 [K]; empty before the first frame.
  Tensor scores() const;

 private:
  void check_fits(const FrameQueries& queries);
  Tensor matched_with(const Tensor& memory) const;

  TrackingConfig config_;
  ops::TrackerState state_;  // empty before the first step, then kept for videos of the same sizes
  std::int64_t frame_ = 0;   // read so far
  bool started_ = false;     // a frame of the video has been queued
};

}  // namespace visage::tracking
