#pragma once
#include "cuda_runtime.h"

#include <bit>

/// IEEE half precision. Arithmetic is done in float and rounded once, as a single device instruction does.
struct __half {
  unsigned short bits;

  __half() = default;
  __half(float value) : bits(std::bit_cast<unsigned short>(static_cast<_Float16>(value))) {}
  operator float() const { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline __half __float2half(float value) { return {value}; }
inline __half __float2half_rn(float value) { return {value}; }
inline float __half2float(__half value) { return value; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline float2 __half22float2(__half2 value) { return {value.x, value.y}; }
