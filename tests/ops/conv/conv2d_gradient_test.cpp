#include "autograd/tape.h"
#include "ops/conv/conv2d.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

auto convolution(const ops::Conv2dOptions& options) {
  return [=](Inputs in) { return ops::conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor{}, options); };
}

struct Shape {
  const char* name;
  int kernel, stride, padding;
};

class Conv2dGradientGolden : public testing::TestWithParam<Shape> {};

TEST_P(Conv2dGradientGolden, EqualsTheOfficialOperator) {
  const Shape& c = GetParam();
  const test::GoldenFile golden("ops.safetensors");
  const std::string name = c.name;
  const std::vector<Tensor> in = {test::to_nhwc(golden.load(name + "/in/x")),
                                  test::to_nhwc(golden.load(name + "/in/weight")), golden.load(name + "/in/bias")};
  const auto got = test::gradients(convolution({.stride = c.stride, .padding = c.padding}), in, {true, true, true},
                                   test::to_nhwc(golden.load(name + "/up/y")));
  EXPECT_TRUE(golden.matches(name + "/grad/x", test::to_nchw(got[0])));
  EXPECT_TRUE(golden.matches(name + "/grad/weight", test::to_nchw(got[1])));
  EXPECT_TRUE(golden.matches(name + "/grad/bias", got[2]));
}

INSTANTIATE_TEST_SUITE_P(Ops, Conv2dGradientGolden,
                         testing::Values(Shape{"conv7x7s2", 7, 2, 3}, Shape{"conv3x3", 3, 1, 1},
                                         Shape{"conv3x3s2", 3, 2, 1}, Shape{"conv1x1s2", 1, 2, 0},
                                         Shape{"conv1x1", 1, 1, 0}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(Conv2dGradient, IsTheDerivative) {
  const auto small = convolution({.stride = 2, .padding = 1});
  EXPECT_TRUE(
      test::gradcheck(small, {random_normal({2, 5, 4, 3}, 1), random_normal({4, 3, 3, 3}, 2), random_normal({4}, 3)}));
  EXPECT_TRUE(test::gradcheck(small, {random_normal({1, 5, 4, 2}, 1), random_normal({3, 3, 3, 2}, 2)}));
  for (const ops::Conv2dOptions& options :
       {ops::Conv2dOptions{.stride = 1, .padding = 1}, ops::Conv2dOptions{.stride = 2, .padding = 1}}) {
    EXPECT_TRUE(test::gradcheck(
        convolution(options), {random_normal({2, 17, 12, 32}, 1), random_normal({48, 3, 3, 32}, 2, DType::f32, 0, 0.1),
                               random_normal({48}, 3)}));
  }
  EXPECT_TRUE(test::gradcheck(
      convolution({}), {random_normal({2, 16, 12, 64}, 1), random_normal({32, 1, 1, 64}, 2, DType::f32, 0, 0.1)}));
  EXPECT_TRUE(test::gradcheck(convolution({.stride = 2, .padding = 3}),
                              {random_normal({1, 32, 24, 3}, 1), random_normal({64, 7, 7, 3}, 2)}));
}

TEST(Conv2dGradient, ReluIsTheOneOfItsResult) {
  const std::vector<Tensor> in = {random_normal({2, 9, 7, 16}, 1), random_normal({24, 3, 3, 16}, 2),
                                  random_normal({24}, 3)};
  const auto apart = [](Inputs t) { return ops::relu(ops::conv2d(t[0], t[1], t[2], {.padding = 1})); };
  const Tensor up = random_normal({2, 9, 7, 24}, 4);
  const auto got =
      test::gradients(convolution({.padding = 1, .activation = Activation::relu}), in, {true, true, true}, up);
  const auto want = test::gradients(apart, in, {true, true, true}, up);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(test::allclose(got[i], want[i], {.reduced = 216})) << i;
}

TEST(Conv2dGradient, OfBf16) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  // Everything is exact in bf16 but the result, so that the f32 gradients are the reference.
  const auto rounded = [](const Dims& size, std::uint64_t seed) {
    return test::converted(test::converted(random_normal(size, seed), DType::bf16), DType::f32);
  };
  const Tensor x = rounded({2, 12, 10, 32}, 1), w = rounded({64, 3, 3, 32}, 2), b = rounded({64}, 3);
  const Tensor up = rounded({2, 12, 10, 64}, 4);
  const auto want = test::gradients(convolution({.padding = 1}), {x, w, b}, {true, true, true}, up);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto got =
        test::gradients(convolution({.padding = 1, .dtype = dtype}), {test::converted(x, DType::bf16), w, b},
                        {true, true, true}, test::converted(up, dtype));
    EXPECT_EQ(got[0].dtype(), DType::bf16);
    EXPECT_EQ(got[1].dtype(), DType::f32);
    EXPECT_TRUE(test::allclose(got[0], want[0], {.reduced = 576}));
    EXPECT_TRUE(test::allclose(got[1], want[1], {.reduced = 240}));
    EXPECT_TRUE(test::allclose(got[2], want[2], {.reduced = 240}));
  }
}

TEST(Conv2dGradient, IsBitwiseReproducible) {
  const std::vector<Tensor> in = {random_normal({2, 33, 29, 16}, 1), random_normal({24, 3, 3, 16}, 2),
                                  random_normal({24}, 3)};
  const Tensor up = random_normal({2, 33, 29, 24}, 4);
  const auto run = [&] { return test::gradients(convolution({.padding = 1}), in, {true, true, true}, up); };
  const auto first = run(), second = run();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(first[i]), test::values_of(second[i])) << i;
}

TEST(Conv2dGradient, NeverRunsTheReferenceImplementation) {
  struct Layer {
    std::int64_t height, width, in, out;
    int kernel, stride;
  };
  const Layer layers[] = {{128, 224, 3, 64, 7, 2},  {64, 112, 64, 256, 1, 1},  {64, 112, 64, 64, 3, 1},
                          {32, 56, 128, 128, 3, 2}, {64, 112, 256, 512, 1, 2}, {16, 28, 1024, 256, 1, 1},
                          {8, 14, 512, 512, 3, 1},  {64, 112, 256, 256, 3, 1}};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) continue;
    for (const Layer& l : layers) {
      const Tensor x = Tensor::empty({2, l.height, l.width, l.in}, dtype);
      const Tensor w = Tensor::empty({l.out, l.kernel, l.kernel, l.in});
      const Tensor y = Tensor::empty({2, (l.height - 1) / l.stride + 1, (l.width - 1) / l.stride + 1, l.out}, dtype);
      const int padding = l.kernel / 2;
      const std::string data =
          l.in == 3 ? "image"  // nothing is behind the first layer
                    : cpu::onednn::implementation(cpu::onednn::ConvolutionBackwardData{y, w, x, l.stride, padding});
      const std::string weights =
          cpu::onednn::implementation(cpu::onednn::ConvolutionBackwardWeights{x, y, w, l.stride, padding});
      EXPECT_EQ(data.find("ref"), std::string::npos) << data << ' ' << l.in << ' ' << l.out << ' ' << name_of(dtype);
      EXPECT_EQ(weights.find("ref"), std::string::npos)
          << weights << ' ' << l.in << ' ' << l.out << ' ' << name_of(dtype);
    }
  }
}

TEST(Conv2dGradient, RefusesToOverwriteTheResidual) {
  const Tensor x = random_normal({1, 4, 4, 3}, 1), w = random_normal({5, 1, 1, 3}, 2), y = Tensor::zeros({1, 4, 4, 5});
  autograd::set_requires_grad(x);
  const autograd::Tape tape;
  EXPECT_THROW((void)ops::conv2d(x, w, {}, {.accumulate_into = y}), AutogradError);
  EXPECT_NO_THROW((void)ops::conv2d(x, w, {}, {}));
}

}  // namespace
}  // namespace visage
