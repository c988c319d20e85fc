#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// The same elements under another shape; no copy. One size may be -1 and is then inferred. Differentiable.
/// throws ShapeError if x is not contiguous or the counts differ.
[[nodiscard]] Tensor reshape(const Tensor& x, Dims size);

/// The window [start, start + length) of one axis; no copy. A negative axis counts from the end. Differentiable.
[[nodiscard]] Tensor narrow(const Tensor& x, int axis, std::int64_t start, std::int64_t length);

/// Item `index` of the first axis, without that axis; no copy. x contiguous. Differentiable.
[[nodiscard]] Tensor select(const Tensor& x, std::int64_t index);

}  // namespace visage::ops
