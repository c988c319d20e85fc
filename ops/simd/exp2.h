#pragma once
#include <bit>
#include <cstdint>

namespace visage::ops {

/// 2^t for t <= 0, relative error below 3e-7, 0 below -126; written so that a loop over it is vectorised.
inline float exp2_nonpositive(float t) {
  const float kept = t > -127.f ? t : -127.f;
  const float shifted = kept + 12582912.f;  // 1.5 * 2^23: the sum's last bits are the nearest integer
  const float whole = shifted - 12582912.f;
  const float f = kept - whole;
  float p = 1.54035304e-4f;
  p = p * f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.f;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(whole) + 127) << 23;
  const float scaled = p * std::bit_cast<float>(exponent);
  return t >= -126.f ? scaled : 0.f;
}

}  // namespace visage::ops
