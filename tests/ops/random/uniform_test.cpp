#include "ops/random/uniform.h"

#include "ops/random/splitmix.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::ops {
namespace {

TEST(Uniform, IsTheStreamOnEveryDevice) {
  constexpr std::uint64_t kStart = 0xFEDCBA9876543210u;
  test::for_each_device([](Device device) {
    for (const Dims& size : {Dims{1}, Dims{0, 3}, Dims{2, 3, 5}, Dims{40000}}) {  // the last one by several threads
      const Tensor y = uniform(kStart, size, device);
      EXPECT_EQ(y.size(), size);
      EXPECT_EQ(y.device(), device);
      const std::vector<double> got = test::values_of(y);
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], static_cast<double>(uniform_at(kStart, static_cast<std::int64_t>(i)))) << i;
    }
  });
}

// The first outputs of SplitMix64 from state 0, as its authors' code gives them, cut to 24 bits.
TEST(Uniform, IsSplitMix64) {
  EXPECT_EQ(uniform_at(0, 0), static_cast<float>(0xE220A8397B1DCDAFu >> 40) * 0x1p-24f);
  EXPECT_EQ(uniform_at(0, 1), static_cast<float>(0x6E789E6AA1B965F4u >> 40) * 0x1p-24f);
  EXPECT_EQ(uniform_at(0, 2), static_cast<float>(0x06C45D188009454Fu >> 40) * 0x1p-24f);
}

}  // namespace
}  // namespace visage::ops
