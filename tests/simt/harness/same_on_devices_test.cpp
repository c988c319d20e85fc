// The comparison that the tests of the ops rely on must itself notice a GPU that computes something else.
#include "tests/support/same_on_devices.h"

#include "autograd/tape.h"
#include "ops/gradient/targets.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::test {
namespace {

using Tensors = std::vector<Tensor>;

bool on_gpu(const Tensor& x) { return x.device().type == DeviceType::cuda; }

/// x with a backward that multiplies by `factor`.
Tensor scaled_gradient(const Tensor& x, float factor, std::size_t repeats = 1) {
  Tensor y = autograd::detach(x);
  autograd::record("test", {&x, 1}, y, [=](const Tensor& gy, ops::Targets targets) {
    for (std::size_t i = 0; i < repeats; ++i) ops::accumulate("test", gy, targets, 0, factor);
  });
  return y;
}

/// `values` on the device of `like`.
Tensor there(const Tensor& like, std::vector<double> values, DType dtype = DType::f32) {
  return on(tensor_of({static_cast<std::int64_t>(values.size())}, values, dtype), like.device());
}

const Tensor kInput = random_normal({20}, 1);

TEST(SameOnDevices, AcceptsEqualOutputsAndGradients) {
  const auto fn = [](const Tensors& in) { return Tensors{scaled_gradient(in[0], 2.f), in[0]}; };
  EXPECT_TRUE(same_on_devices(fn, {kInput}, {.gradients_of = {0}}));
  const auto not_a_number = [](const Tensors& in) { return Tensors{there(in[0], {1, std::nan("")})}; };
  EXPECT_TRUE(same_on_devices(not_a_number, {kInput}));
}

TEST(SameOnDevices, NoticesAnOutputThatDiffers) {
  const auto off = [](const Tensors& in) { return Tensors{in[0], there(in[0], {1, on_gpu(in[0]) ? 2.0001 : 2})}; };
  EXPECT_FALSE(same_on_devices(off, {kInput}));
  EXPECT_TRUE(same_on_devices(off, {kInput}, {.output_tolerance = 1e-3}));
  const auto not_a_number = [](const Tensors& in) {
    return Tensors{there(in[0], {1, on_gpu(in[0]) ? std::nan("") : 2})};
  };
  EXPECT_FALSE(same_on_devices(not_a_number, {kInput}, {.output_tolerance = 1}));
}

TEST(SameOnDevices, WantsIntegersToBeEqual) {
  const auto off = [](const Tensors& in) {
    return Tensors{there(in[0], {1000, on_gpu(in[0]) ? 1001.0 : 1000.0}, DType::i32)};
  };
  EXPECT_FALSE(same_on_devices(off, {kInput}, {.output_tolerance = 1}));
}

TEST(SameOnDevices, NoticesAnotherTypeAndAMissingOutput) {
  const auto typed = [](const Tensors& in) {
    return Tensors{there(in[0], {1}, on_gpu(in[0]) ? DType::bf16 : DType::f32)};
  };
  EXPECT_FALSE(same_on_devices(typed, {kInput}));
  const auto missing = [](const Tensors& in) { return Tensors{in[0], on_gpu(in[0]) ? Tensor{} : in[0]}; };
  EXPECT_FALSE(same_on_devices(missing, {kInput}));
}

TEST(SameOnDevices, NoticesAGradientThatDiffers) {
  const auto off = [](const Tensors& in) { return Tensors{scaled_gradient(in[0], on_gpu(in[0]) ? 2.001f : 2.f)}; };
  EXPECT_TRUE(same_on_devices(off, {kInput}));
  EXPECT_FALSE(same_on_devices(off, {kInput}, {.gradients_of = {0}}));
}

TEST(SameOnDevices, NoticesAGradientThatIsAddedTwice) {
  const auto twice = [](const Tensors& in) { return Tensors{scaled_gradient(in[0], 1.f, on_gpu(in[0]) ? 2 : 1)}; };
  EXPECT_FALSE(same_on_devices(twice, {kInput}, {.gradients_of = {0}}));
}

/// A backward that overwrites is right once, and wrong when it should add.
TEST(SameOnDevices, NoticesAGradientThatIsNotAccumulated) {
  const auto overwriting = [](const Tensors& in) {
    Tensor y = autograd::detach(in[0]);
    const Tensor x = in[0];
    autograd::record("test", {&x, 1}, y, [x](const Tensor& gy, ops::Targets targets) {
      if (on_gpu(x)) autograd::zero_grad(x);
      ops::accumulate("test", gy, targets, 0);
    });
    return Tensors{y};
  };
  EXPECT_FALSE(same_on_devices(overwriting, {kInput}, {.gradients_of = {0}}));
}

}  // namespace
}  // namespace visage::test
