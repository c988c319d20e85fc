#pragma once
// Rows of f32 matrices on the CPU.
#include "tensor/tensor.h"

#include <algorithm>
#include <span>

namespace visage::tracking {

[[nodiscard]] inline std::span<const float> row_of(const Tensor& matrix, std::int64_t row) {
  return {matrix.data<float>() + row * matrix.size(1), static_cast<std::size_t>(matrix.size(1))};
}

/// These rows, as a matrix.
[[nodiscard]] inline Tensor rows_of(const Tensor& matrix, std::span<const int> rows) {
  Tensor out = Tensor::empty({std::ssize(rows), matrix.size(1)});
  float* to = out.data<float>();
  for (const int row : rows) to = std::ranges::copy(row_of(matrix, row), to).out;
  return out;
}

}  // namespace visage::tracking
