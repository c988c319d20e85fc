#pragma once
#include "cuda_runtime.h"

#include <bit>

/// bfloat16, rounded to nearest even; NaN stays NaN. Arithmetic is done in float.
struct __nv_bfloat16 {
  unsigned short bits;

  __nv_bfloat16() = default;
  __nv_bfloat16(float value) {
    const auto word = std::bit_cast<unsigned>(value);
    const unsigned rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
    bits = static_cast<unsigned short>(value != value ? 0x7fffu : rounded);  // a choice, not a branch
  }
  operator float() const { return std::bit_cast<float>(static_cast<unsigned>(bits) << 16); }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float value) { return {value}; }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return {value}; }
inline float __bfloat162float(__nv_bfloat16 value) { return value; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 value) { return {value.x, value.y}; }
