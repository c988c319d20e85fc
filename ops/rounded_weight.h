#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// A contiguous weight or bias in the type that a product of the GPU computes in: itself if it has that type, else a
/// copy that is made once and kept until the weight is written (its storage's version) or gone. No gradient history.
[[nodiscard]] Tensor rounded_weight(const char* op, const Tensor& weight, DType dtype);

}  // namespace visage::ops
