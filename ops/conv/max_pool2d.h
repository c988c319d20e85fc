#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

struct MaxPool2dOptions {
  int kernel = 3;
  int stride = 2;
  int padding = 1;
};

/// Maximum over windows; the padding does not take part. x [N, H, W, C] f32 | bf16; returns [N, H', W', C].
/// Differentiable: the gradient goes to the first of several equal maxima (rows first).
[[nodiscard]] Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options);

}  // namespace visage::ops
