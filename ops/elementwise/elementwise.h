#pragma once
#include "tensor/tensor.h"

#include <span>

// Everything here is differentiable.

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

/// x * factor. f32, contiguous.
[[nodiscard]] Tensor mul_scalar(const Tensor& x, float factor);

/// The sum of all elements, [1]. f32, contiguous; added up in f64 in an order that does not depend on the threads.
[[nodiscard]] Tensor sum_all(const Tensor& x);

/// sum over t of weights[t] * terms[t]: the total of weighted losses. f32, contiguous, all of one size; added up in
/// f64. throws ShapeError if sizes differ or there is not one weight a term.
[[nodiscard]] Tensor weighted_sum(std::span<const Tensor> terms, std::span<const float> weights);

}  // namespace visage::ops
