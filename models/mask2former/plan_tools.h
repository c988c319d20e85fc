#pragma once
// Derived weights of the inference plans.
#include "tensor/tensor.h"

namespace visage::plan {

/// Columns [start, start + count) of a matrix as a contiguous copy.
Tensor columns(const Tensor& matrix, std::int64_t start, std::int64_t count);

/// a * b of two f32 matrices [M, K] and [K, N], on the device of a; sums in f64, on the host. For weights, once.
Tensor product(const Tensor& a, const Tensor& b);

}  // namespace visage::plan
