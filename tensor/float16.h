#pragma once
// 16-bit storage types of the CPU backend. Arithmetic happens in f32.
#include <bit>
#include <cmath>
#include <cstdint>

namespace visage {

using Half = _Float16;

/// bfloat16: the upper half of an f32. Rounds to nearest even; NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    bits = static_cast<std::uint16_t>(std::isnan(value) ? ((word >> 16) | 0x40u) : rounded);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

}  // namespace visage
