#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// A contiguous weight or bias in the type that a product computes in: itself if it has that type, else a copy. On the
/// GPU the copy is made once and kept, at one address, until the weight is gone, and rounded again when the weight was
/// written (its storage's version); a graph that is captured then reads the kept copy. No gradient history.
[[nodiscard]] Tensor rounded_weight(const char* op, const Tensor& weight, DType dtype);

}  // namespace visage::ops
