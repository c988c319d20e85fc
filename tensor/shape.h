#pragma once
#include <cstdint>
#include <initializer_list>

namespace visage {

inline constexpr int kMaxRank = 6;

/// Sizes or strides of at most six axes. Trivially copyable, so kernels take it by value.
/// Negative indices count from the last axis.
struct Dims {
  std::int64_t d[kMaxRank] = {};
  int rank = 0;

  constexpr Dims() = default;
  constexpr Dims(std::initializer_list<std::int64_t> values) {
    for (const std::int64_t value : values) d[rank++] = value;
  }

  constexpr std::int64_t operator[](int axis) const { return d[axis < 0 ? axis + rank : axis]; }
  constexpr std::int64_t& operator[](int axis) { return d[axis < 0 ? axis + rank : axis]; }
  constexpr bool operator==(const Dims&) const = default;

  constexpr void append(std::int64_t value) { d[rank++] = value; }

  constexpr std::int64_t numel() const {
    std::int64_t count = 1;
    for (int i = 0; i < rank; ++i) count *= d[i];
    return count;
  }
};

/// Row-major strides in elements.
constexpr Dims contiguous_strides(const Dims& size) {
  Dims stride = size;
  std::int64_t step = 1;
  for (int i = size.rank; i-- > 0;) {
    stride.d[i] = step;
    step *= size.d[i];
  }
  return stride;
}

}  // namespace visage
