#pragma once
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace visage::test {

/// How far a result may be from its reference. The bound is derived, not typed in:
///   |got - want| <= 2 ulp(dtype of got) |want| + 8 sqrt(reduced) ulp(f32) rms(want) + absolute
/// so that it can be met by a correct kernel in every storage type and by no wrong one.
struct Tolerance {
  /// Number of terms summed for one output element (accumulated in f32).
  std::int64_t reduced = 1;
  /// Added as it stands; for references that carry an error of their own.
  double absolute = 0;
};

/// Compares shapes and elements; NaN and infinities must match in position. `got` and `want` may differ in element
/// type, strides and device. The failure message has the number of bad elements, the worst one and the first five. Use:
/// EXPECT_TRUE(allclose(y, want, {.reduced = channels}));
testing::AssertionResult allclose(const Tensor& got, const Tensor& want, const Tolerance& tolerance = {});

}  // namespace visage::test
