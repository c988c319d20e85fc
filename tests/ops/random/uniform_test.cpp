#include "ops/random/uniform.h"

#include "ops/random/splitmix.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::ops {
namespace {

TEST(Uniform, IsTheStreamsOnEveryDevice) {
  constexpr std::uint64_t kStart = 0xFEDCBA9876543210u;
  struct Case {
    Dims size;
    std::size_t streams;
  };
  // The last but one by several threads, the last one by several launches.
  for (const auto& [size, streams] :
       {Case{{1}, 1}, Case{{0, 3}, 2}, Case{{6, 3, 5}, 3}, Case{{40000}, 1}, Case{{300, 2}, 300}}) {
    std::vector<std::uint64_t> starts;
    for (std::size_t k = 0; k < streams; ++k) starts.push_back(kStart + k * k);
    test::for_each_device([&](Device device) {
      const Tensor y = uniform(starts, size, device);
      EXPECT_EQ(y.size(), size);
      EXPECT_EQ(y.device(), device);
      const std::vector<double> got = test::values_of(y);
      const std::size_t part = got.size() / streams;
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], static_cast<double>(uniform_at(starts[i / part], static_cast<std::int64_t>(i % part)))) << i;
    });
  }
}

TEST(Uniform, RefusesPartsThatAreNotEqual) {
  const std::vector<std::uint64_t> starts{1, 2};
  EXPECT_THROW((void)uniform(starts, {3, 2}), ShapeError);
  EXPECT_THROW((void)uniform({}, {3}), ShapeError);
}

// The first outputs of SplitMix64 from state 0, as its authors' code gives them, cut to 24 bits.
TEST(Uniform, IsSplitMix64) {
  EXPECT_EQ(uniform_at(0, 0), static_cast<float>(0xE220A8397B1DCDAFu >> 40) * 0x1p-24f);
  EXPECT_EQ(uniform_at(0, 1), static_cast<float>(0x6E789E6AA1B965F4u >> 40) * 0x1p-24f);
  EXPECT_EQ(uniform_at(0, 2), static_cast<float>(0x06C45D188009454Fu >> 40) * 0x1p-24f);
}

}  // namespace
}  // namespace visage::ops
