#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// x + y, where the size of y is the end of the size of x ([N,Q,C] + [Q,C]). f32, contiguous.
/// throws ShapeError if it is not.
[[nodiscard]] Tensor add(const Tensor& x, const Tensor& y);

/// max(x, 0). f32.
[[nodiscard]] Tensor relu(const Tensor& x);

/// The same values in another dtype (f32, bf16); bf16 rounds to nearest even. Returns x itself when it has that dtype.
[[nodiscard]] Tensor cast(const Tensor& x, DType dtype);

/// [Q, C] repeated as [N, Q, C]. f32.
[[nodiscard]] Tensor repeat_batch(const Tensor& x, std::int64_t batch);

/// softmax over the last axis. f32, contiguous.
[[nodiscard]] Tensor softmax(const Tensor& x);

/// Axes in another order, copied; `order[i]` is the source axis of result axis i. f32.
[[nodiscard]] Tensor permute(const Tensor& x, const Dims& order);

}  // namespace visage::ops
