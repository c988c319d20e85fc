#include "ops/conv/conv2d.h"

#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

Tensor noise(const Dims& size, const char* name) {
  Tensor t = Tensor::empty(size);
  const nn::HashStream stream(name);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = stream.symmetric(i);
  return t;
}

// The definition, in double.
Tensor reference(const Tensor& x, const Tensor& w, const Tensor& bias, const ops::Conv2dOptions& o) {
  const auto length = [&](std::int64_t n, std::int64_t k) { return (n + 2 * o.padding - k) / o.stride + 1; };
  Tensor y = Tensor::empty({x.size(0), length(x.size(1), w.size(1)), length(x.size(2), w.size(2)), w.size(0)});
  std::int64_t at = 0;
  for (std::int64_t n = 0; n < y.size(0); ++n)
    for (std::int64_t r = 0; r < y.size(1); ++r)
      for (std::int64_t c = 0; c < y.size(2); ++c)
        for (std::int64_t out = 0; out < y.size(3); ++out, ++at) {
          double sum = bias ? bias.data<float>()[out] : 0;
          for (std::int64_t i = 0; i < w.size(1); ++i)
            for (std::int64_t j = 0; j < w.size(2); ++j) {
              const std::int64_t yy = r * o.stride + i - o.padding, xx = c * o.stride + j - o.padding;
              if (yy < 0 || xx < 0 || yy >= x.size(1) || xx >= x.size(2)) continue;
              for (std::int64_t k = 0; k < x.size(3); ++k)
                sum += static_cast<double>(x.data<float>()[((n * x.size(1) + yy) * x.size(2) + xx) * x.size(3) + k]) *
                       w.data<float>()[((out * w.size(1) + i) * w.size(2) + j) * w.size(3) + k];
            }
          if (o.accumulate_into) sum += o.accumulate_into.data<float>()[at];
          if (o.activation == Activation::relu) sum = std::max(sum, 0.0);
          y.data<float>()[at] = static_cast<float>(sum);
        }
  return y;
}

struct Shape {
  const char* name;
  int kernel, stride, padding;
};

class Conv2dGolden : public testing::TestWithParam<Shape> {};

TEST_P(Conv2dGolden, Forward) {
  const Shape& c = GetParam();
  const test::GoldenFile golden("ops.safetensors");
  const std::string name = c.name;
  const Tensor y =
      ops::conv2d(test::to_nhwc(golden.load(name + "/in/x")), test::to_nhwc(golden.load(name + "/in/weight")),
                  golden.load(name + "/in/bias"), {.stride = c.stride, .padding = c.padding});
  EXPECT_TRUE(golden.matches(name + "/out/y", test::to_nchw(y)));
}

INSTANTIATE_TEST_SUITE_P(Ops, Conv2dGolden,
                         testing::Values(Shape{"conv7x7s2", 7, 2, 3}, Shape{"conv3x3", 3, 1, 1},
                                         Shape{"conv3x3s2", 3, 2, 1}, Shape{"conv1x1s2", 1, 2, 0},
                                         Shape{"conv1x1", 1, 1, 0}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(Conv2d, AddsResidualInPlaceBeforeRelu) {
  const Tensor x = noise({2, 9, 7, 16}, "x"), w = noise({24, 3, 3, 16}, "w"), b = noise({24}, "b");
  const Tensor residual = noise({2, 9, 7, 24}, "r"), kept = noise({2, 9, 7, 24}, "r");
  const Tensor y = ops::conv2d(x, w, b, {.padding = 1, .activation = Activation::relu, .accumulate_into = residual});
  EXPECT_EQ(y.data<float>(), residual.data<float>());
  EXPECT_TRUE(
      test::allclose(y, reference(x, w, b, {.padding = 1, .activation = Activation::relu, .accumulate_into = kept}),
                     {.reduced = 144}));
}

TEST(Conv2d, RoundsToBf16) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  const Tensor x = noise({1, 12, 10, 32}, "x"), w = noise({64, 3, 3, 32}, "w"), b = noise({64}, "b");
  const Tensor y = ops::conv2d(ops::cast(x, DType::bf16), w, b, {.padding = 1, .dtype = DType::bf16});
  ASSERT_EQ(y.dtype(), DType::bf16);
  // Inputs and weights are rounded to 8 bits: 288 products with relative error 2^-8 in random directions.
  const Tensor want = reference(x, w, b, {.padding = 1});
  EXPECT_TRUE(test::allclose(ops::cast(y, DType::f32), want, {.reduced = 288, .absolute = 0.25}));
  EXPECT_FALSE(test::allclose(ops::cast(y, DType::f32), want, {.reduced = 288}));
}

TEST(Conv2d, SeesWeightsThatWereOverwritten) {
  const Tensor x = noise({1, 4, 4, 8}, "x"), w = noise({8, 1, 1, 8}, "w");
  (void)ops::conv2d(x, w, {}, {});
  for (std::int64_t i = 0; i < w.numel(); ++i) w.data<float>()[i] *= 2.f;
  w.storage()->bump_version();
  EXPECT_TRUE(test::allclose(ops::conv2d(x, w, {}, {}), reference(x, w, {}, {}), {.reduced = 8}));
}

// oneDNN falls back to a reference loop, hundreds of times slower, when it does not like a layout.
TEST(Conv2d, NeverRunsTheReferenceImplementation) {
  const auto name = [](std::int64_t h, std::int64_t w, std::int64_t in, std::int64_t out, int kernel, int stride) {
    const std::int64_t oh = (h - 1) / stride + 1, ow = (w - 1) / stride + 1;
    return cpu::onednn::implementation(cpu::onednn::Convolution{
        Tensor::empty({1, h, w, in}), Tensor::empty({out, kernel, kernel, in}), Tensor::empty({out}),
        Tensor::empty({1, oh, ow, out}), stride, kernel / 2, Activation::relu, 0.f});
  };
  for (const std::string& chosen :
       {name(128, 160, 3, 64, 7, 2), name(32, 40, 64, 256, 1, 1), name(32, 40, 64, 64, 3, 1),
        name(16, 20, 128, 128, 3, 2), name(32, 40, 256, 512, 1, 2), name(8, 10, 1024, 256, 1, 1),
        name(4, 5, 512, 512, 3, 1), name(32, 40, 256, 256, 3, 1)})
    EXPECT_EQ(chosen.find("ref"), std::string::npos) << chosen;
}

TEST(Conv2d, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({1, 4, 4, 3}), w = Tensor::zeros({8, 3, 3, 3});
  EXPECT_THROW((void)ops::conv2d(x, Tensor::zeros({8, 3, 3, 4}), {}, {}), ShapeError);
  EXPECT_THROW((void)ops::conv2d(x, w, Tensor::zeros({7}), {}), ShapeError);
  EXPECT_THROW((void)ops::conv2d(Tensor::zeros({1, 2, 2, 3}), w, {}, {}), ShapeError);
  EXPECT_THROW((void)ops::conv2d(x, w, {}, {.accumulate_into = Tensor::zeros({1, 4, 4, 8})}), ShapeError);
}

}  // namespace
}  // namespace visage
