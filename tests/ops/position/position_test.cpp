#include "ops/position/position.h"

#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

TEST(PositionGolden, EqualsTheRecordedNumbers) {
  const test::GoldenFile golden("ops.safetensors");
  const std::vector<std::string> names = golden.names("sinepos/");
  ASSERT_FALSE(names.empty());
  for (const std::string& name : names) {
    const Dims size = golden.at(name).full_size;  // [2 * features, H, W]
    const Tensor code = sine_position(size[1], size[2], size[0] / 2);
    const Tensor planes = Tensor::alias(code, size, {1, size[2] * size[0], size[0]});
    EXPECT_TRUE(golden.matches(name, planes)) << name;
  }
}

TEST(Position, FollowsTheFormula) {
  const PositionTables tables = sine_position_tables(3, 2, 4);
  const double p = 2 * M_PI * 2 / (3 + 1e-6);
  EXPECT_NEAR(tables.y.data<float>()[4], std::sin(p), 1e-6);
  EXPECT_NEAR(tables.y.data<float>()[5], std::cos(p), 1e-6);
  EXPECT_NEAR(tables.y.data<float>()[6], std::sin(p / 100), 1e-6);
  EXPECT_NEAR(tables.y.data<float>()[7], std::cos(p / 100), 1e-6);
  EXPECT_NEAR(tables.x.data<float>()[0], std::sin(M_PI), 1e-5);
}

TEST(Position, RefusesAnOddNumberOfFeatures) {
  EXPECT_THROW((void)sine_position(4, 4, 7), ShapeError);
  EXPECT_THROW((void)sine_position_tables(0, 4, 8), ShapeError);
}

TEST(Position, IsTheSameOnEveryDevice) {
  const auto code = [](const std::vector<Tensor>& in) {
    const Device device = in[0].device();
    const PositionTables tables = sine_position_tables(3, 7, 10, device);
    return std::vector{tables.y, tables.x, sine_position(5, 9, 6, device), sine_position(1, 1, 2, device)};
  };
  EXPECT_TRUE(test::same_on_devices(code, {Tensor::zeros({1})}, {.output_tolerance = 1e-7}));
}

}  // namespace
}  // namespace visage::ops
