#include "ops/conv/max_pool2d.h"

#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

TEST(MaxPool2dGolden, Forward) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor y = ops::max_pool2d(test::to_nhwc(golden.load("maxpool3x3s2p1/in/x")), {});
  EXPECT_TRUE(golden.matches("maxpool3x3s2p1/out/y", test::to_nchw(y)));
}

/// Distinct values 0.1 apart in random order: no two change places within the stencil.
Tensor distinct(const Dims& size) {
  Tensor x = Tensor::empty(size);
  const std::int64_t count = x.numel();
  for (std::int64_t i = 0; i < count; ++i)
    x.data<float>()[i] = 0.1f * static_cast<float>(i * 7919 % count) - 0.05f * static_cast<float>(count);
  return x;
}

TEST(MaxPool2dGradient, IsTheDerivative) {
  for (const ops::MaxPool2dOptions& options :
       {ops::MaxPool2dOptions{}, ops::MaxPool2dOptions{.kernel = 2, .stride = 2, .padding = 0},
        ops::MaxPool2dOptions{.kernel = 3, .stride = 1, .padding = 1},
        ops::MaxPool2dOptions{.kernel = 2, .stride = 3, .padding = 1}}) {
    const auto pool = [&](Inputs in) { return ops::max_pool2d(in[0], options); };
    EXPECT_TRUE(test::gradcheck(pool, {distinct({2, 7, 8, 3})}, {.tolerance = 2e-3, .element_limit = 400}));
  }
}

TEST(MaxPool2dGradient, TheFirstOfEqualMaximaWins) {
  const auto pool = [](Inputs in) { return ops::max_pool2d(in[0], {.kernel = 2, .stride = 2, .padding = 0}); };
  const float values[] = {1, 1, 0, 3, 1, 1, 3, 3}, up[] = {5, 7};
  const auto got = test::gradients(pool, {Tensor::from({1, 2, 4, 1}, values)}, {true}, Tensor::from({1, 1, 2, 1}, up));
  EXPECT_EQ(test::values_of(got[0]), (std::vector<double>{5, 0, 0, 7, 0, 0, 0, 0}));
}

TEST(MaxPool2dGradient, OfBf16) {
  const auto pool = [](Inputs in) { return ops::max_pool2d(in[0], {}); };
  const Tensor x = test::converted(random_normal({1, 9, 12, 16}, 1), DType::bf16);
  const Tensor up = test::converted(random_normal({1, 5, 6, 16}, 2), DType::bf16);
  const auto want = test::gradients(pool, {test::converted(x, DType::f32)}, {true}, test::converted(up, DType::f32));
  EXPECT_TRUE(test::allclose(test::gradients(pool, {x}, {true}, up)[0], want[0]));
}

TEST(MaxPool2dOnDevices, AgreesWithTheCpu) {
  for (const ops::MaxPool2dOptions& options :
       {ops::MaxPool2dOptions{}, ops::MaxPool2dOptions{.kernel = 2, .stride = 2, .padding = 0},
        ops::MaxPool2dOptions{.kernel = 3, .stride = 1, .padding = 1},
        ops::MaxPool2dOptions{.kernel = 2, .stride = 3, .padding = 1}}) {
    const auto pool = [&](const std::vector<Tensor>& in) -> std::vector<Tensor> {
      return {ops::max_pool2d(in[0], options)};
    };
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::int64_t channels : {16, 3}) {  // in packets and one by one
        // Few different values: many maxima are equal.
        const Tensor x = random_normal({2, 7, 6, channels}, 1, dtype), ties = random_normal({2, 7, 6, channels}, 1);
        for (std::int64_t i = 0; i < ties.numel(); ++i) ties.data<float>()[i] = std::round(ties.data<float>()[i]);
        EXPECT_TRUE(test::same_on_devices(pool, {x}, {.output_tolerance = 0, .gradients_of = {0}}));
        EXPECT_TRUE(test::same_on_devices(pool, {ties}, {.output_tolerance = 0, .gradients_of = {0}}));
      }
    }
    EXPECT_TRUE(test::same_on_devices(pool, {Tensor::empty({0, 4, 4, 3})}, {.gradients_of = {0}}));
  }
  const auto whole = [](const std::vector<Tensor>& in) -> std::vector<Tensor> {
    return {ops::max_pool2d(in[0], {.kernel = 1, .stride = 1, .padding = 0})};
  };
  EXPECT_TRUE(test::same_on_devices(whole, {random_normal({1, 1, 1, 1}, 1)}, {.gradients_of = {0}}));
}

TEST(MaxPool2dGradientGolden, EqualsTheOfficialOperator) {
  const test::GoldenFile golden("ops.safetensors");
  const auto got = test::gradients([](Inputs in) { return ops::max_pool2d(in[0], {}); },
                                   {test::to_nhwc(golden.load("maxpool3x3s2p1/in/x"))}, {true},
                                   test::to_nhwc(golden.load("maxpool3x3s2p1/up/y")));
  EXPECT_TRUE(golden.matches("maxpool3x3s2p1/grad/x", test::to_nchw(got[0])));
}

}  // namespace
}  // namespace visage
