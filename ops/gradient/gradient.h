#pragma once
// Plain data, so that kernels see it.
#include "tensor/view.h"

namespace visage::ops {

/// Where a backward kernel leaves one gradient: `to = beta * to + gradient`, and beta 0 does not read `to`. An empty
/// view: the gradient is not wanted.
struct Gradient {
  View to;
  float beta = 0;

  explicit operator bool() const { return static_cast<bool>(to); }
  /// Leaves one element of an f32 gradient.
  void put(std::int64_t at, float value) const {
    float& element = to.as<float>()[at];
    element = beta == 0 ? value : beta * element + value;
  }
};

}  // namespace visage::ops
