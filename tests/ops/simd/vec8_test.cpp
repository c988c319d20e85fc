#include "ops/simd/vec8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

float exp2_of(float t) {
  const Vec8 result = exp2_nonpositive(Vec8{-1.f, 0.f, t, t});
  EXPECT_EQ(result[0], 0.5f);
  return result[3];
}

TEST(Vec8, Exp2IsWithinItsErrorOverTheWholeRange) {
  for (double t = 0; t > -126; t -= 0.0137) {
    const auto x = static_cast<float>(t);
    const double want = std::exp2(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exp2_of(x)), want, 3e-7 * want) << t;
  }
  EXPECT_EQ(exp2_of(0), 1.f);
  EXPECT_EQ(exp2_of(-126.6f), 0.f);
  EXPECT_EQ(exp2_of(-1e30f), 0.f);
  EXPECT_EQ(exp2_of(-std::numeric_limits<float>::infinity()), 0.f);
  EXPECT_TRUE(std::isnan(exp2_of(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace visage::ops
