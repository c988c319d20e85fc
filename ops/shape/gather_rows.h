#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Rows of a matrix by index, in the order given; an index may repeat.
/// x [R, C] f32, u8 or bool with contiguous columns; indices i64 [M] on the same device;  returns [M, C] like x. f32 is
/// differentiable: the gradient of a row is the sum over its copies.
/// throws ShapeError, DTypeError or DeviceError if they are not so, and ShapeError for an index outside [0, R). On a
/// GPU nobody waits to see the indices: a row that does not exist is NaN, 0 in integers, and its gradient goes nowhere.
[[nodiscard]] Tensor gather_rows(const Tensor& x, const Tensor& indices);

}  // namespace visage::ops
