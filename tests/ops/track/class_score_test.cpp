#include "ops/track/class_score.h"

#include "autograd/tape.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::ops {
namespace {

using test::random_normal;
using test::same_on_devices;
using test::values_of;

TEST(TrackClassScore, TheSameOnEveryDevice) {
  const auto fn = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{max_class_score(in[0])}; };
  for (const Dims& size : {Dims{9, 41}, Dims{1, 2}, Dims{5, 3}, Dims{4, 32}, Dims{6, 70}, Dims{0, 5}}) {
    EXPECT_TRUE(same_on_devices(fn, {random_normal(size, 1, DType::f32, 0, 5)}));
    EXPECT_TRUE(same_on_devices(fn, {random_normal(size, 2, DType::f32, 1e3, 20)}));
  }
}

TEST(TrackClassScore, IsTheBestRealClass) {
  const float logits[] = {std::log(1.f), std::log(5.f), std::log(4.f),   //
                          std::log(1.f), std::log(3.f), std::log(96.f),  //
                          1000,          1000,          -1000};
  const auto got = values_of(max_class_score(Tensor::from({3, 3}, logits)));
  EXPECT_NEAR(got[0], 0.5, 1e-6);
  EXPECT_NEAR(got[1], 0.03, 1e-6);
  EXPECT_NEAR(got[2], 0.5, 1e-6);
  EXPECT_THROW((void)max_class_score(Tensor::zeros({3, 1})), ShapeError);
}

TEST(TrackClassScore, RefusesToCutAGraph) {
  const autograd::Tape tape;
  const Tensor x = random_normal({2, 3}, 1);
  autograd::set_requires_grad(x);
  EXPECT_THROW((void)max_class_score(x), AutogradError);
}

}  // namespace
}  // namespace visage::ops
