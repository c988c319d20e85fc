#pragma once
#include "ops/image_size.h"
#include "tensor/tensor.h"

#include <cstdint>
#include <vector>

namespace visage::ops {

/// Sizes a predicted mask passes through: resized to the padded network input, cropped to the image, resized to the
/// output.
struct MaskSizes {
  ImageSize padded;
  ImageSize image;
  ImageSize output;
};

/// The final mask of one query in one frame.
struct QueryMask {
  /// [resized logit > 0] at the output size, column-major: bit (x * height + y) % 64 of word (x * height + y) / 64.
  /// Empty when no pixel can be positive.
  std::vector<std::uint64_t> bits;
  double quality_sum = 0;          // sum of sigmoid(logit) where it is > 0.5, at the image size
  std::int64_t quality_count = 0;  // number of such pixels
};

/// The final masks of all queries where the logits are.
struct MaskBatch {
  Tensor bits;           // i64 [Q, words], as in QueryMask; zeros without a positive logit
  Tensor quality_sum;    // f64 [Q]
  Tensor quality_count;  // i64 [Q]
  Tensor seen;           // i32 [Q]: whether there is a positive logit
};

/// Both bilinear resizings of the mask logits [Q,h,w] (f32 contiguous; h, w the size of the padded input / stride),
/// their thresholding and the sums of the mask quality, without waiting for the device. Queries without a positive
/// logit are skipped: every resized value is a convex combination of logits. Not differentiable. throws DTypeError,
/// and ShapeError if a size is empty or the image does not fit in the padded input.
[[nodiscard]] MaskBatch mask_batch(const Tensor& logits, const MaskSizes& sizes);

/// The masks of a batch that is on the CPU, each by itself.
[[nodiscard]] std::vector<QueryMask> query_masks(const MaskBatch& batch);

}  // namespace visage::ops
