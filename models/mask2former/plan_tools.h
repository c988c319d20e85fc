#pragma once
// Derived weights of the inference plans.
#include "tensor/tensor.h"

#include <span>

namespace visage::plan {

/// Input sizes whose position tables a plan keeps.
inline constexpr std::size_t kMostSizes = 16;

/// Rows of several [n_i, C] (or vectors [n_i]) below each other. f32.
Tensor stack_rows(std::span<const Tensor> parts);
inline Tensor stack_rows(std::initializer_list<Tensor> parts) {
  return stack_rows(std::span<const Tensor>(parts.begin(), parts.size()));
}

/// Columns [start, start + count) of a matrix as a contiguous copy.
Tensor columns(const Tensor& matrix, std::int64_t start, std::int64_t count);

/// a * b of two f32 matrices [M, K] and [K, N]; sums in f64. For weights, once.
Tensor product(const Tensor& a, const Tensor& b);

/// The transpose of a matrix, copied.
Tensor transpose(const Tensor& matrix);

}  // namespace visage::plan
