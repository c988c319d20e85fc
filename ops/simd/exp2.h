#pragma once
#include <bit>
#include <cstdint>

namespace visage::ops {

/// 2^t for t <= 0, relative error below 3e-7, 0 below -126, NaN for NaN; written so that a loop over it is vectorised.
inline float exp2_nonpositive(float t) {
  const float kept = t < -127.f ? -127.f : t;
  const float shifted = kept + 12582912.f;  // 1.5 * 2^23: the last bits of the sum are the nearest integer
  const float f = kept - (shifted - 12582912.f);
  float p = 1.54035304e-4f;
  p = p * f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.f;
  const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;
  const float scaled = p * std::bit_cast<float>(exponent);
  return t < -126.f ? 0.f : scaled;
}

}  // namespace visage::ops
