#include "ops/norm/group_norm.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using test::random_normal;
using Tensors = std::vector<Tensor>;

TEST(FrozenBatchNormOnDevices, AgreesWithTheCpu) {
  const auto shift = [](const Tensors& in) -> Tensors {
    const ops::ScaleShift map = ops::frozen_batch_norm_scale_shift(in[0], in[1], in[2], in[3]);
    return {map.shift, map.scale};
  };
  const auto scale = [](const Tensors& in) -> Tensors {
    return {ops::frozen_batch_norm_scale_shift(in[0], in[1], in[2], in[3]).scale};
  };
  for (const std::int64_t channels : {1, 130}) {
    const Tensor variance = random_normal({channels}, 4);
    for (std::int64_t c = 0; c < channels; ++c) variance.data<float>()[c] *= variance.data<float>()[c];
    const Tensors in = {random_normal({channels}, 1), random_normal({channels}, 2), random_normal({channels}, 3),
                        variance};
    EXPECT_TRUE(test::same_on_devices(shift, in, {.gradients_of = {0, 1}}));
    EXPECT_TRUE(test::same_on_devices(scale, in, {.gradients_of = {0}}));
  }
}

}  // namespace
}  // namespace visage
