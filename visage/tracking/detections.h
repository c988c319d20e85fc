#pragma once
#include "visage/tracking/mask_overlap.h"
#include "visage/tracking/tracker.h"

#include <cstdint>
#include <span>
#include <vector>

namespace visage::tracking {

/// The queries of a frame as the trackers on the host see them.
struct Detections {
  Tensor embedding;           // f32 [Q, D], on the CPU
  std::vector<float> scores;  // the largest probability of a real class
  std::vector<int> labels;    // that class
};

enum class Scale { raw, unit };  // of an embedding: as it is, or at length 1 (a row of zeros stays)

/// Fetches what a tracker compares. Embedding::both is a row (sqrt(1 - alpha) object, sqrt(alpha) appearance), whose
/// products are (1 - alpha) <object, object'> + alpha <appearance, appearance'>; with Scale::unit these are cosines.
/// throws ShapeError, DTypeError or, for a value that is not finite, Error; `frame` is for the message.
[[nodiscard]] Detections read_detections(const FrameQueries& queries, Embedding embedding, double alpha, Scale scale,
                                         std::int64_t frame);

/// The queries with a score above `least`, best first; of equal ones the first comes first.
[[nodiscard]] std::vector<int> best_first(std::span<const float> scores, double least);

/// Overlaps of the masks of a frame. The masks must outlive it.
class MaskOverlaps {
 public:
  /// throws ShapeError unless there is a mask for each of the `queries`.
  MaskOverlaps(std::span<const ops::QueryMask> masks, std::size_t queries);

  /// Whether the IoU of a query's mask with that of one of the others exceeds `most`. Masks without a pixel overlap
  /// with nothing.
  bool exceed(double most, int query, std::span<const int> others) const;

 private:
  double iou(int a, int b) const;

  std::vector<MaskExtent> extents_;
};

}  // namespace visage::tracking
