#pragma once
#include "tensor/tensor.h"

#include <span>

namespace visage::ops {

/// Rows of a matrix by index, in the order given; an index may repeat.
/// x [R, C] f32 with contiguous columns;  returns [indices, C]. Differentiable: the gradient of a row is the sum over
/// its copies. throws ShapeError for an index outside [0, R).
[[nodiscard]] Tensor gather_rows(const Tensor& x, std::span<const std::int64_t> indices);

}  // namespace visage::ops
