#pragma once
#include "visage/tracking/memory_bank.h"
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
class VisageTracker final : public Tracker {
 public:
  /// throws UsageError if alpha is outside [0, 1] or the window is below 1.
  explicit VisageTracker(const TrackingConfig& config = {});

  /// Every frame must have as many queries and channels as the first. A value that is not finite is refused.
  FrameTracks step(const FrameQueries& queries) override;
  void reset() override;

  /// What the last frame was matched with, in slot order: f32 [K, D] and [K, A]; empty after the first frame.
  const Tensor& object_memory() const { return object_memory_; }
  const Tensor& appearance_memory() const { return appearance_memory_; }
  /// Scores of the last frame in slot order, f32 [K].
  const Tensor& scores() const { return scores_; }

 private:
  TrackingConfig config_;
  MemoryBank objects_, appearances_;
  std::int64_t frame_ = 0;
  Dims logits_size_, object_size_, appearance_size_;  // of every frame of the video
  Tensor object_memory_, appearance_memory_, scores_;
};

}  // namespace visage::tracking
