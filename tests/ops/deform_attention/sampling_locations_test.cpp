#include "ops/deform_attention/sampling_locations.h"

#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

const ops::LevelShape kShapes[] = {{2, 3}, {4, 6}};

TEST(SamplingLocations, AddsOffsetsInUnitsOfTheSampledLevel) {
  const Tensor offsets = Tensor::zeros({1, 30, 2 * 2 * 1 * 2});
  float* second_token = offsets.data<float>() + 8;  // head 0: level 0 (x, y), level 1 (x, y); then head 1
  second_token[0] = 1.5f;                           // level 0 is 3 wide
  second_token[3] = -2.f;                           // level 1 is 4 high
  const Tensor out = ops::sampling_locations(offsets, kShapes, 2, 1);
  ASSERT_EQ(out.size(), (Dims{1, 30, 2, 2, 1, 2}));
  const float* row = out.data<float>() + 8;
  EXPECT_FLOAT_EQ(row[0], 0.5f + 0.5f);
  EXPECT_FLOAT_EQ(row[1], 0.25f);
  EXPECT_FLOAT_EQ(row[2], 0.5f);
  EXPECT_FLOAT_EQ(row[3], 0.25f - 0.5f);
  EXPECT_FLOAT_EQ(row[4], 0.5f);
  const float* last = out.data<float>() + 29 * 8;
  EXPECT_FLOAT_EQ(last[0], 5.5f / 6);
  EXPECT_FLOAT_EQ(last[1], 3.5f / 4);
}

TEST(SamplingLocations, Gradient) {
  EXPECT_TRUE(test::gradcheck([](std::span<const Tensor> in) { return ops::sampling_locations(in[0], kShapes, 2, 1); },
                              {test::random_normal({1, 30, 8}, 1)}));
}

TEST(SamplingLocations, TheSameOnEveryDevice) {
  const auto locate = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::sampling_locations(in[0], kShapes, 2, 5)};
  };
  EXPECT_TRUE(test::same_on_devices(locate, {test::random_normal({3, 30, 40}, 1)}, {.gradients_of = {0}}));
  EXPECT_TRUE(test::same_on_devices(locate, {Tensor::empty({0, 30, 40})}, {.gradients_of = {0}}));
  // 96 points a row are more than a warp takes at once; the rows begin at odd addresses.
  const Tensor all = test::random_normal({1 + 30 * 192}, 2);
  const auto locate_odd = [](const std::vector<Tensor>& in) {
    const Tensor window = Tensor::alias(in[0], {1, 30, 192}, {30 * 192, 192, 1}, 1);
    return std::vector<Tensor>{ops::sampling_locations(window, kShapes, 16, 3)};
  };
  EXPECT_TRUE(test::same_on_devices(locate_odd, {all}));
}

TEST(SamplingLocations, RefusesOtherSizes) {
  EXPECT_THROW((void)ops::sampling_locations(Tensor::zeros({1, 29, 8}), kShapes, 2, 1), ShapeError);
  EXPECT_THROW((void)ops::sampling_locations(Tensor::zeros({1, 30, 8}), kShapes, 2, 2), ShapeError);
}

}  // namespace
}  // namespace visage
