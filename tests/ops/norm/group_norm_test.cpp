#include "ops/norm/group_norm.h"

#include "nn/init/test_weights.h"
#include "ops/shape/views.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/nchw.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

Tensor noise(const Dims& size, const char* name, float scale = 1.f, float offset = 0.f) {
  Tensor t = Tensor::empty(size);
  const nn::HashStream stream(name);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = scale * stream.symmetric(i) + offset;
  return t;
}

Tensor reference(const Tensor& x, const Tensor& w, const Tensor& b, int groups, double eps) {
  const std::int64_t images = x.size(0), channels = x.size(-1), rows = x.numel() / images / channels;
  const std::int64_t width = channels / groups;
  Tensor y = Tensor::empty(x.size());
  for (std::int64_t n = 0; n < images; ++n)
    for (int g = 0; g < groups; ++g) {
      const auto at = [&](std::int64_t r, std::int64_t c) { return (n * rows + r) * channels + g * width + c; };
      double mean = 0, variance = 0;
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < width; ++c) mean += x.data<float>()[at(r, c)];
      mean /= static_cast<double>(rows * width);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < width; ++c) variance += std::pow(x.data<float>()[at(r, c)] - mean, 2);
      variance /= static_cast<double>(rows * width);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < width; ++c)
          y.data<float>()[at(r, c)] = static_cast<float>(
              (x.data<float>()[at(r, c)] - mean) / std::sqrt(variance + eps) * w.data<float>()[g * width + c] +
              b.data<float>()[g * width + c]);
    }
  return y;
}

TEST(GroupNormGolden, Forward) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor y = ops::group_norm(test::to_nhwc(golden.load("groupnorm/in/x")), golden.load("groupnorm/in/weight"),
                                   golden.load("groupnorm/in/bias"));
  EXPECT_TRUE(golden.matches("groupnorm/out/y", test::to_nchw(y)));
}

TEST(FrozenBatchNormGolden, Forward) {
  const test::GoldenFile golden("ops.safetensors");
  const auto in = [&](const char* name) { return golden.load(std::string("frozenbn/in/") + name); };
  const ops::ScaleShift map = ops::frozen_batch_norm_scale_shift(in("weight"), in("bias"), in("mean"), in("var"));
  EXPECT_TRUE(golden.matches("frozenbn/out/y",
                             test::to_nchw(ops::channel_affine(test::to_nhwc(in("x")), map.scale, map.shift))));
}

TEST(GroupNorm, ManyRows) {
  const Tensor x = noise({2, 37, 29, 64}, "x"), w = noise({64}, "w"), b = noise({64}, "b");
  EXPECT_TRUE(test::allclose(ops::group_norm(x, w, b), reference(x, w, b, 32, 1e-5), {.reduced = 64}));
}

TEST(GroupNorm, OnePixel) {
  const Tensor x = noise({1, 1, 1, 32}, "x"), w = noise({32}, "w"), b = noise({32}, "b");
  const Tensor y = ops::group_norm(x, w, b);  // a group of one value: its deviation is zero
  // x * scale - mean * scale with scale = 1 / sqrt(eps) = 316: the two products round apart.
  EXPECT_TRUE(test::allclose(ops::reshape(y, {32}), b, {.absolute = 316 * 0x1p-23}));
}

TEST(GroupNorm, LargeMeanDoesNotCancel) {
  const Tensor x = noise({1, 50, 40, 32}, "x", 1.f, 1000.f), w = noise({32}, "w"), b = noise({32}, "b");
  // One ulp of x is 6e-5: that is what the input itself is worth after the normalisation.
  EXPECT_TRUE(
      test::allclose(ops::group_norm(x, w, b), reference(x, w, b, 32, 1e-5), {.reduced = 2000, .absolute = 2e-4}));
}

TEST(GroupNorm, ReadsAndWritesWindows) {
  const Tensor wide = noise({2, 30, 96}, "x"), w = noise({32}, "w"), b = noise({32}, "b");
  const Tensor x = ops::narrow(ops::narrow(wide, 2, 64, 32), 1, 3, 20);
  const Tensor out = Tensor::zeros({2, 40, 32});
  (void)ops::group_norm(x, w, b, {.activation = Activation::relu, .out = ops::narrow(out, 1, 10, 20)});
  const Tensor dense = ops::permute(x, {0, 1, 2});
  const Tensor want = ops::relu(reference(dense, w, b, 32, 1e-5));
  EXPECT_TRUE(test::allclose(ops::narrow(out, 1, 10, 20), want, {.reduced = 20}));
  for (const std::int64_t row : {9, 30})
    for (std::int64_t c = 0; c < 32; ++c) EXPECT_EQ(out.data<float>()[row * 32 + c], 0.f);
}

TEST(GroupNorm, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({1, 2, 2, 48}), v = Tensor::zeros({48});
  EXPECT_THROW((void)ops::group_norm(x, v, v, {.groups = 32}), ShapeError);
  EXPECT_THROW((void)ops::group_norm(x, Tensor::zeros({47}), v, {.groups = 16}), ShapeError);
}

}  // namespace
}  // namespace visage
