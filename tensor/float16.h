#pragma once
// 16-bit storage types of the CPU backend. Arithmetic happens in f32.
#include <bit>
#include <cstdint>

namespace visage {

using Half = _Float16;

/// bfloat16: the upper half of an f32. Rounds to nearest even; NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {  // without branches, so that loops vectorise
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const std::uint32_t quiet_nan = (word >> 16) | 0x40u;
    bits = static_cast<std::uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// to = value, rounded to the type of `to`. In loops use this: the compiler vectorises it, but not copies of BFloat16.
inline void store(float& to, float value) { to = value; }
inline void store(Half& to, float value) { to = static_cast<Half>(value); }
inline void store(BFloat16& to, float value) { to.bits = BFloat16(value).bits; }

}  // namespace visage
