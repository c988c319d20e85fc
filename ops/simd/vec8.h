#pragma once
// Eight floats in one register, by the vector extension of GCC and Clang: arithmetic, comparisons and selections are
// element-wise. The portable kernels use it where a compiler would not vectorise a plain loop.
#include <bit>
#include <cstdint>
#include <cstring>

namespace visage::ops {

using Vec8 = float __attribute__((vector_size(32)));
using Mask8 = std::int32_t __attribute__((vector_size(32)));  // -1 or 0 per element: the result of a comparison
inline constexpr int kVec8 = 8;

inline Vec8 load8(const float* from) {
  Vec8 x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline void store8(float* to, const Vec8& x) { std::memcpy(to, &x, sizeof x); }

inline float sum8(const Vec8& x) {
  float result = 0;
  for (int lane = 0; lane < kVec8; ++lane) result += x[lane];
  return result;
}

/// 2^t for t <= 0, relative error below 3e-7, 0 below -126.5, NaN for NaN.
inline Vec8 exp2_nonpositive(const Vec8& t) {
  using Bits = std::uint32_t __attribute__((vector_size(32)));
  const Vec8 least = Vec8{} - 127.f;
  const Vec8 kept = t < least ? least : t;
  const Vec8 shifted = kept + 12582912.f;  // 1.5 * 2^23: the last bits of the sum are the nearest integer
  const Vec8 f = kept - (shifted - 12582912.f);
  Vec8 p = 1.54035304e-4f * f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.f;
  const Bits exponent = (std::bit_cast<Bits>(shifted) + 127u) << 23;  // the field of -127 is that of zero
  return p * std::bit_cast<Vec8>(exponent);
}

}  // namespace visage::ops
