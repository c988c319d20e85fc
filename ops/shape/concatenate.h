#pragma once
#include "tensor/tensor.h"

#include <span>

namespace visage::ops {

/// The parts one after the other along `axis` (negative: from the end), copied. f32 or bf16, any strides; all sizes but
/// that of the axis must agree. Differentiable.
/// throws ShapeError if there is no part, the axis does not exist or sizes differ; DTypeError if the types differ.
[[nodiscard]] Tensor concatenate(std::span<const Tensor> parts, int axis);
[[nodiscard]] inline Tensor concatenate(std::initializer_list<Tensor> parts, int axis) {
  return concatenate(std::span<const Tensor>(parts.begin(), parts.size()), axis);
}

}  // namespace visage::ops
