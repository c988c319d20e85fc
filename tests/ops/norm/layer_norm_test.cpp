#include "ops/norm/layer_norm.h"

#include "autograd/tape.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

using test::allclose;
using test::for_each_device;
using test::random_normal;

struct Inputs {
  Tensor x, residual, weight, bias, gy;
};

struct Reference {
  Tensor y, gx, gweight, gbias;  // f64
};

struct Case {
  Dims size;
  DType dtype = DType::f32;
  bool with_residual = false;
  double mean = 0;
};

/// The equations of ops/norm/layer_norm.h and their derivatives, in f64.
Reference reference(const Inputs& in, double eps = 1e-5) {
  const auto x = test::values_of(in.x), weight = test::values_of(in.weight), bias = test::values_of(in.bias);
  const auto gy = test::values_of(in.gy);
  const auto residual = in.residual ? test::values_of(in.residual) : std::vector<double>(x.size());
  const std::size_t channels = weight.size();
  std::vector<double> y(x.size()), gx(x.size()), gweight(channels), gbias(channels);
  for (std::size_t row = 0; row < x.size(); row += channels) {
    const auto sum = [&](auto&& term) {
      double total = 0;
      for (std::size_t c = 0; c < channels; ++c) total += term(c);
      return total;
    };
    const double count = static_cast<double>(channels);
    const auto value = [&](std::size_t c) { return x[row + c] + residual[row + c]; };
    const double mean = sum(value) / count;
    const double variance = sum([&](std::size_t c) { return std::pow(value(c) - mean, 2); }) / count;
    const double rstd = 1 / std::sqrt(variance + eps);
    const auto n = [&](std::size_t c) { return (value(c) - mean) * rstd; };
    const double mean_g = sum([&](std::size_t c) { return gy[row + c] * weight[c]; }) / count;
    const double mean_gn = sum([&](std::size_t c) { return gy[row + c] * weight[c] * n(c); }) / count;
    for (std::size_t c = 0; c < channels; ++c) {
      y[row + c] = n(c) * weight[c] + bias[c];
      gx[row + c] = rstd * (gy[row + c] * weight[c] - mean_g - n(c) * mean_gn);
      gweight[c] += gy[row + c] * n(c);
      gbias[c] += gy[row + c];
    }
  }
  const Dims per_channel{static_cast<std::int64_t>(channels)};
  return {test::tensor_of(in.x.size(), y, DType::f64), test::tensor_of(in.x.size(), gx, DType::f64),
          test::tensor_of(per_channel, gweight, DType::f64), test::tensor_of(per_channel, gbias, DType::f64)};
}

Inputs make_inputs(const Case& c, Device device) {
  const Dims per_channel{c.size[-1]};
  Inputs in;
  in.x = test::on(random_normal(c.size, 1, c.dtype, c.mean), device);
  if (c.with_residual) in.residual = test::on(random_normal(c.size, 2, c.dtype), device);
  in.weight = test::on(random_normal(per_channel, 3, DType::f32, 1, 0.5), device);
  in.bias = test::on(random_normal(per_channel, 4), device);
  in.gy = test::on(random_normal(c.size, 5, c.dtype), device);
  return in;
}

Tensor apply(std::span<const Tensor> in) {
  return in.size() == 4 ? ops::add_layer_norm(in[0], in[3], in[1], in[2]) : ops::layer_norm(in[0], in[1], in[2]);
}

/// Forward and backward against the f64 reference.
void check_case(const Case& c, Device device) {
  const Inputs in = make_inputs(c, device);
  const Reference want = reference(in);
  std::vector<Tensor> inputs = {in.x, in.weight, in.bias};
  if (in.residual) inputs.push_back(in.residual);
  const std::int64_t channels = c.size[-1];
  const std::int64_t rows = c.size.numel() / channels;
  // Subtracting a mean of 1000 loses ten bits of f32, whatever the algorithm.
  const double cancelled = c.mean / 0x1p23 * 16;
  const test::Tolerance per_row{.reduced = channels, .absolute = cancelled};
  EXPECT_TRUE(allclose(apply(inputs), want.y, per_row));
  const auto got = test::gradients(apply, inputs, std::vector<bool>(inputs.size(), true), in.gy);
  // One element has no variance: rounding is multiplied by 1 / sqrt(eps) = 316.
  const test::Tolerance per_gradient{.reduced = channels, .absolute = cancelled + (channels == 1 ? 1e-4 : 0)};
  EXPECT_TRUE(allclose(got[0], want.gx, per_gradient));
  const test::Tolerance per_column{.reduced = rows + channels,
                                   .absolute = cancelled * std::sqrt(static_cast<double>(rows))};
  EXPECT_TRUE(allclose(got[1], want.gweight, per_column));
  EXPECT_TRUE(allclose(got[2], want.gbias, per_column));
  if (in.residual) {
    EXPECT_TRUE(allclose(got[3], want.gx, per_gradient));
  }
}

TEST(LayerNorm, EqualsTheReferenceInAllTypesAndSizes) {
  for_each_device([](Device device) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const bool with_residual : {false, true}) {
        // Whole packets, several packets a lane, a long row, an odd length, a single element, a single row, no row.
        for (const Dims& size : {Dims{3, 5, 32}, Dims{7, 256}, Dims{3, 1000}, Dims{2, 1100}, Dims{2, 3, 33}, Dims{1},
                                 Dims{257, 8}, Dims{0, 16}}) {
          SCOPED_TRACE(testing::Message() << name_of(dtype) << ' ' << size << (with_residual ? " + residual" : ""));
          check_case({.size = size, .dtype = dtype, .with_residual = with_residual}, device);
        }
      }
    }
  });
}

TEST(LayerNorm, TheSameOnEveryDevice) {
  const std::vector<Tensor> inputs{random_normal({9, 40}, 1), random_normal({40}, 2), random_normal({40}, 3),
                                   random_normal({9, 40}, 4)};
  const auto fn = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{ops::add_layer_norm(in[0], in[3], in[1], in[2])};
  };
  EXPECT_TRUE(test::same_on_devices(fn, inputs, {.gradients_of = {0, 1, 2, 3}}));
}

TEST(LayerNorm, ALargeMeanDoesNotCancel) {
  for_each_device([](Device device) {
    check_case({.size = {16, 256}, .mean = 1e3}, device);
    check_case({.size = {16, 255}, .mean = 1e3}, device);
    check_case({.size = {16, 255}, .with_residual = true, .mean = 1e3}, device);
  });
}

TEST(LayerNorm, OneElementARowIsTheBias) {
  for_each_device([](Device device) {
    const Inputs in = make_inputs({.size = {5, 1}}, device);
    const Tensor y = ops::layer_norm(in.x, in.weight, in.bias);
    for (const double value : test::values_of(y)) EXPECT_EQ(value, test::values_of(in.bias)[0]);
  });
}

TEST(LayerNorm, EpsBoundsConstantRows) {
  const Tensor x = test::tensor_of({1, 4}, std::vector<double>{2, 2, 2, 2});
  const Tensor weight = test::tensor_of({4}, std::vector<double>{1, 1, 1, 1});
  const Tensor bias = test::tensor_of({4}, std::vector<double>{1, 2, 3, 4});
  EXPECT_TRUE(allclose(ops::layer_norm(x, weight, bias), Tensor::alias(bias, {1, 4}, {4, 1})));
  const Tensor slope = test::tensor_of({1, 4}, std::vector<double>{-1, -1, 1, 1});
  // var = 1, so eps = 3 halves every value.
  const Tensor half = test::tensor_of({1, 4}, std::vector<double>{0.5, 1.5, 3.5, 4.5});
  EXPECT_TRUE(allclose(ops::layer_norm(slope, weight, bias, {.eps = 3}), half));
}

TEST(LayerNorm, NotANumberStaysInItsRow) {
  for_each_device([](Device device) {
    std::vector<double> values = test::values_of(random_normal({3, 64}, 1));
    values[64 + 5] = std::nan("");
    const Inputs in = make_inputs({.size = {3, 64}}, device);
    const auto y =
        test::values_of(ops::layer_norm(test::on(test::tensor_of({3, 64}, values), device), in.weight, in.bias));
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 64 == 1) << i;
  });
}

TEST(LayerNorm, GradientsAreTheDerivatives) {
  for_each_device([](Device device) {
    for (const Dims& size : {Dims{2, 3, 8}, Dims{4, 5}, Dims{40, 256}, Dims{9, 333}}) {
      SCOPED_TRACE(testing::Message() << size);
      Inputs in = make_inputs({.size = size, .with_residual = true}, device);
      EXPECT_TRUE(test::gradcheck(apply, {in.x, in.weight, in.bias}));
      EXPECT_TRUE(test::gradcheck(apply, {in.x, in.weight, in.bias, in.residual}));
    }
  });
}

TEST(LayerNorm, ATensorAddedToItselfGetsBothGradients) {
  for_each_device([](Device device) {
    const Inputs in = make_inputs({.size = {4, 24}}, device);
    EXPECT_TRUE(test::gradcheck([](std::span<const Tensor> t) { return ops::add_layer_norm(t[0], t[0], t[1], t[2]); },
                                {in.x, in.weight, in.bias}));
  });
}

TEST(LayerNorm, GradientsAreBitwiseReproducible) {
  for_each_device([](Device device) {
    const Inputs in = make_inputs({.size = {501, 256}}, device);
    const auto run = [&] { return test::gradients(apply, {in.x, in.weight, in.bias}, {true, true, true}, in.gy); };
    const auto first = run(), second = run();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(first[i]), test::values_of(second[i]));
  });
}

TEST(LayerNorm, WithoutATapeNothingIsKept) {
  const Inputs in = make_inputs({.size = {2, 8}}, {});
  autograd::set_requires_grad(in.x);
  EXPECT_EQ(ops::layer_norm(in.x, in.weight, in.bias).autograd_meta(), nullptr);
  autograd::Tape tape;
  EXPECT_NE(ops::layer_norm(in.x, in.weight, in.bias).autograd_meta(), nullptr);
  EXPECT_EQ(tape.size(), 1u);
}

TEST(LayerNorm, RefusesWhatItCannotDo) {
  const Inputs in = make_inputs({.size = {2, 8}, .with_residual = true}, {});
  const Tensor short_weight = random_normal({7}, 1);
  EXPECT_THROW(ops::layer_norm(in.x, short_weight, in.bias), ShapeError);
  EXPECT_THROW(ops::layer_norm(in.x, in.weight, short_weight), ShapeError);
  EXPECT_THROW(ops::layer_norm(Tensor::alias(in.x, {8, 2}, {1, 8}), in.weight, in.bias), ShapeError);
  EXPECT_THROW(ops::layer_norm(Tensor::empty({3, 0}), Tensor::empty({0}), Tensor::empty({0})), ShapeError);
  EXPECT_THROW(ops::layer_norm(Tensor::empty({2, 8}, DType::i32), in.weight, in.bias), DTypeError);
  EXPECT_THROW(ops::layer_norm(in.x, Tensor::empty({8}, DType::bf16), in.bias), DTypeError);
  EXPECT_THROW(ops::add_layer_norm(in.x, random_normal({3, 8}, 1), in.weight, in.bias), ShapeError);
  EXPECT_THROW(ops::add_layer_norm(in.x, test::converted(in.x, DType::bf16), in.weight, in.bias), DTypeError);
  EXPECT_THROW(ops::add_layer_norm(in.x, {}, in.weight, in.bias), ShapeError);
}

TEST(LayerNormGolden, EqualsTheOfficialOperator) {
  const test::GoldenFile golden("ops.safetensors");
  for_each_device([&](Device device) {
    std::vector<Tensor> inputs;
    for (const char* name : {"x", "weight", "bias"}) {
      inputs.push_back(test::on(golden.load(std::string("layernorm/in/") + name), device));
    }
    EXPECT_TRUE(golden.matches("layernorm/out/y", apply(inputs)));
    const auto got =
        test::gradients(apply, inputs, {true, true, true}, test::on(golden.load("layernorm/up/y"), device));
    EXPECT_TRUE(golden.matches("layernorm/grad/x", got[0]));
    EXPECT_TRUE(golden.matches("layernorm/grad/weight", got[1]));
    EXPECT_TRUE(golden.matches("layernorm/grad/bias", got[2]));
  });
}

}  // namespace
}  // namespace visage
