#include "ops/deform_attention/sampling_locations.h"

#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
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

TEST(SamplingLocations, RefusesOtherSizes) {
  EXPECT_THROW((void)ops::sampling_locations(Tensor::zeros({1, 29, 8}), kShapes, 2, 1), ShapeError);
  EXPECT_THROW((void)ops::sampling_locations(Tensor::zeros({1, 30, 8}), kShapes, 2, 2), ShapeError);
}

}  // namespace
}  // namespace visage
