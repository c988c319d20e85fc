#include "ops/autocast.h"
#include "ops/conv/conv2d.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Tensors = std::vector<Tensor>;
using test::random_normal;

auto convolution(const ops::Conv2dOptions& options) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor{}, options)};
  };
}

TEST(Conv2dOnDevices, AgreesWithTheCpu) {
  struct Case {
    std::int64_t height, width, in, out;
    int kernel, stride, padding;
  };
  const Case cases[] = {{7, 5, 3, 6, 3, 1, 1},
                        {9, 8, 3, 4, 7, 2, 3},
                        {6, 7, 8, 5, 1, 2, 0},
                        {5, 4, 1, 1, 1, 1, 0},
                        {6, 6, 8, 8, 3, 2, 1}};
  for (const Case& c : cases) {
    const Tensors in = {random_normal({2, c.height, c.width, c.in}, 1),
                        random_normal({c.out, c.kernel, c.kernel, c.in}, 2), random_normal({c.out}, 3)};
    for (const Activation activation : {Activation::none, Activation::relu}) {
      const auto fn = convolution({.stride = c.stride, .padding = c.padding, .activation = activation});
      EXPECT_TRUE(test::same_on_devices(fn, in, {.gradients_of = {0, 1, 2}}));
    }
  }
  EXPECT_TRUE(test::same_on_devices(convolution({.padding = 1}),
                                    {random_normal({1, 4, 3, 2}, 1), random_normal({3, 3, 3, 2}, 2)},
                                    {.gradients_of = {0, 1}}));
}

// With 8 channels the stand-in for cuDNN fuses the residual and writes f32 from bf16; with 6 and 3 the op does it.
TEST(Conv2dOnDevices, AddsTheResidualFusedAndApart) {
  for (const auto& [in, out] : {std::array{8, 8}, std::array{6, 8}, std::array{3, 5}}) {
    for (const Activation activation : {Activation::none, Activation::relu}) {
      const auto add = [activation](const Tensors& t) -> Tensors {
        // A result of its own to add to: the devices share the inputs.
        const Tensor residual = ops::conv2d(t[3], t[4], {}, {});
        return {ops::conv2d(t[0], t[1], t[2], {.padding = 1, .activation = activation, .accumulate_into = residual})};
      };
      EXPECT_TRUE(test::same_on_devices(
          add, {random_normal({1, 5, 7, in}, 1), random_normal({out, 3, 3, in}, 2), random_normal({out}, 3),
                random_normal({1, 5, 7, 4}, 4), random_normal({out, 1, 1, 4}, 5)}));
    }
  }
}

TEST(Conv2dOnDevices, OfBf16) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  for (const std::int64_t channels : {16, 3}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto fn = convolution({.padding = 1, .activation = Activation::relu, .dtype = dtype});
      EXPECT_TRUE(
          test::same_on_devices(fn,
                                {random_normal({1, 6, 5, channels}, 1, DType::bf16),
                                 random_normal({16, 3, 3, channels}, 2), random_normal({16}, 3)},
                                {.output_tolerance = 1e-2, .gradient_tolerance = 1e-2, .gradients_of = {0, 1, 2}}));
    }
  }
}

TEST(Conv2dOnDevices, UnderAutocast) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  const auto fn = [](const Tensors& in) -> Tensors {
    const ops::Autocast scope(DType::bf16);
    return {ops::conv2d(in[0], in[1], in[2], {.stride = 2, .padding = 1})};
  };
  for (const std::int64_t channels : {8, 5}) {
    EXPECT_TRUE(test::same_on_devices(
        fn, {random_normal({2, 5, 6, channels}, 1), random_normal({8, 3, 3, channels}, 2), random_normal({8}, 3)},
        {.output_tolerance = 1e-2, .gradient_tolerance = 1e-2, .gradients_of = {0, 1, 2}}));
  }
}

TEST(Conv2dOnDevices, NoImages) {
  EXPECT_TRUE(test::same_on_devices(
      convolution({.padding = 1}), {Tensor::empty({0, 4, 3, 2}), random_normal({3, 3, 3, 2}, 2), random_normal({3}, 3)},
      {.gradients_of = {0, 1, 2}}));
}

}  // namespace
}  // namespace visage
