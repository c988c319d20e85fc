#pragma once
#include <algorithm>
#include <cmath>

namespace visage::ops {

/// 1 / (1 + exp(-x)) without overflow.
inline float sigmoid(float x) {
  const float e = std::exp(-std::abs(x));
  return (x >= 0 ? 1.f : e) / (1 + e);
}

/// log(1 + exp(x)) without overflow.
inline float softplus(float x) { return std::max(x, 0.f) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace visage::ops
