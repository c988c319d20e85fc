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

// Channel c of place i on an axis of length n.
double axis_code(std::int64_t i, std::int64_t n, std::int64_t c, std::int64_t channels) {
  const double p = 2 * M_PI * static_cast<double>(i + 1) / (static_cast<double>(n) + 1e-6);
  const double angle = p * std::pow(1e4, -static_cast<double>(c - c % 2) / static_cast<double>(channels));
  return c % 2 ? std::cos(angle) : std::sin(angle);
}

TEST(Position, OfAClipFollowsTheFormula) {
  for (const Dims& size : {Dims{3, 2, 5}, Dims{1, 4, 3}, Dims{7, 1, 1}}) {
    const std::int64_t features = 6, channels = 12;
    const Tensor code = sine_position_3d(size[0], size[1], size[2], features);
    ASSERT_EQ(code.size(), (Dims{size[0] * size[1] * size[2], channels}));
    const float* value = code.data<float>();
    for (std::int64_t t = 0; t < size[0]; ++t)
      for (std::int64_t y = 0; y < size[1]; ++y)
        for (std::int64_t x = 0; x < size[2]; ++x)
          for (std::int64_t c = 0; c < channels; ++c) {
            const double in_frame =
                c < features ? axis_code(y, size[1], c, features) : axis_code(x, size[2], c - features, features);
            EXPECT_NEAR(*value++, in_frame + axis_code(t, size[0], c, channels), 2e-6)
                << "frame " << t << ", row " << y << ", column " << x << ", channel " << c;
          }
  }
}

TEST(Position, OfAnAxisIsARowOfTheTables) {
  EXPECT_EQ(test::values_of(sine_axis(5, 8)), test::values_of(sine_position_tables(5, 2, 8).y));
}

TEST(Position, RefusesAnOddNumberOfFeatures) {
  EXPECT_THROW((void)sine_axis(4, 7), ShapeError);
  EXPECT_THROW((void)sine_position_3d(0, 4, 4, 8), ShapeError);
  EXPECT_THROW((void)sine_position_3d(2, 0, 4, 8), ShapeError);
  EXPECT_THROW((void)sine_position_3d(2, 4, 4, 7), ShapeError);
  EXPECT_THROW((void)sine_position(4, 4, 7), ShapeError);
  EXPECT_THROW((void)sine_position_tables(0, 4, 8), ShapeError);
}

TEST(Position, IsTheSameOnEveryDevice) {
  const auto code = [](const std::vector<Tensor>& in) {
    const Device device = in[0].device();
    const PositionTables tables = sine_position_tables(3, 7, 10, device);
    return std::vector{tables.y,
                       tables.x,
                       sine_position(5, 9, 6, device),
                       sine_position(1, 1, 2, device),
                       sine_axis(4, 6, device),
                       sine_position_3d(3, 2, 5, 4, device)};
  };
  EXPECT_TRUE(test::same_on_devices(code, {Tensor::zeros({1})}, {.output_tolerance = 1e-7}));
}

}  // namespace
}  // namespace visage::ops
