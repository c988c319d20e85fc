#pragma once
#include "ops/image_size.h"
#include "tensor/tensor.h"

namespace visage::ops {

/// How frames of one size become network input: resized to `image`, with zeros at the right and the bottom up to
/// `padded`. Made once a video, so that nothing is computed or fetched twice.
struct InputPlan {
  ImageSize frame, image, padded;
  Tensor columns, rows;  // i32 [image width or height, 2 + T]: first tap, number of taps, weights; on a GPU only
};

/// throws ShapeError if a size is empty or the image does not fit in the padded input.
[[nodiscard]] InputPlan plan_input(const ImageSize& frame, const ImageSize& image, const ImageSize& padded,
                                   Device device = {});

/// Network input of one frame: resized as by resize_antialiased, then
///   out[y, x, c] = (rgb[y, x, c] - mean[c]) / std[c]
/// with the ImageNet statistics of detectron2's configs, and zeros outside the image. On a GPU in one launch, without
/// waiting, and with the same bytes behind the resizing as on the CPU.
/// frame u8 [H,W,3], out f32, bf16 or f16 [padded height, padded width, 3]; both contiguous, on the device of the plan.
/// Not differentiable. throws ShapeError, DTypeError or DeviceError.
void network_input(const Tensor& frame, const InputPlan& plan, const Tensor& out);

}  // namespace visage::ops
