#include "tensor/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace visage {
namespace {

float rounded(float value) { return static_cast<float>(BFloat16(value)); }

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(rounded(1.f), 1.f);
  EXPECT_EQ(rounded(-3.5f), -3.5f);
  EXPECT_EQ(rounded(1 + 0x1p-8f), 1.f);             // a tie, to even
  EXPECT_EQ(rounded(1 + 0x3p-8f), 1 + 0x1p-6f);     // a tie, to even, upwards
  EXPECT_EQ(rounded(1 + 0x1.01p-8f), 1 + 0x1p-7f);  // just above the tie
  EXPECT_EQ(rounded(-0.f), 0.f);
  EXPECT_TRUE(std::signbit(rounded(-0.f)));
}

TEST(BFloat16, KeepsInfinityAndNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(infinity), infinity);
  EXPECT_EQ(rounded(-infinity), -infinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7f800001u))));  // payload only in the low bits
}

TEST(BFloat16, EveryValueSurvivesTheWayThroughFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float value = std::bit_cast<float>(bits << 16);
    if (std::isnan(value)) continue;
    EXPECT_EQ(BFloat16(value).bits, bits);
  }
}

}  // namespace
}  // namespace visage
