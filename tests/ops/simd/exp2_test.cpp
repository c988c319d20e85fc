#include "ops/simd/exp2.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

TEST(Exp2, IsWithinItsErrorOverTheWholeRange) {
  for (double t = 0; t > -126; t -= 0.0137) {
    const auto x = static_cast<float>(t);
    const double want = std::exp2(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exp2_nonpositive(x)), want, 3e-7 * want) << t;
  }
  EXPECT_EQ(exp2_nonpositive(0), 1.f);
  EXPECT_EQ(exp2_nonpositive(-126.5f), 0.f);
  EXPECT_EQ(exp2_nonpositive(-1e30f), 0.f);
  EXPECT_EQ(exp2_nonpositive(-std::numeric_limits<float>::infinity()), 0.f);
  EXPECT_TRUE(std::isnan(exp2_nonpositive(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace visage::ops
