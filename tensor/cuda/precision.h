#pragma once
#include <atomic>
#include <cstdint>

namespace visage::cuda {

/// What the matrix products and convolutions of f32 tensors compute in: f32, or on tensor cores with factors rounded to
/// TF32 (10 bits of mantissa). The sums are f32 in both.
enum class MatrixPrecision : std::uint8_t { f32, tf32 };

namespace detail {
inline std::atomic<MatrixPrecision> matrix_precision{MatrixPrecision::f32};
}

/// Of the whole library; f32 unless set.
inline MatrixPrecision matrix_precision() { return detail::matrix_precision; }
inline void set_matrix_precision(MatrixPrecision precision) { detail::matrix_precision = precision; }

}  // namespace visage::cuda
