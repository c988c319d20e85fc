#include "nn/init/init.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::nn {
namespace {

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const Tensor& tensor) {
  Moments result;
  double square = 0;
  const auto count = static_cast<double>(tensor.numel());
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double value = tensor.data<float>()[i];
    result.mean += value / count;
    square += value * value / count;
    result.largest = std::max(result.largest, std::abs(value));
  }
  result.deviation = std::sqrt(square - result.mean * result.mean);
  return result;
}

TEST(Initialise, FillersHaveTheirDeviations) {
  const HashStream stream("x");
  const Tensor conv = Tensor::empty({64, 3, 3, 32});
  fill_kaiming_normal(conv, stream);
  EXPECT_NEAR(moments(conv).deviation, std::sqrt(2. / (64 * 9)), 1e-3);
  EXPECT_NEAR(moments(conv).mean, 0., 1e-3);
  EXPECT_GT(moments(conv).largest, 3 * std::sqrt(2. / (64 * 9)));
  fill_c2_xavier(conv, stream);
  EXPECT_NEAR(moments(conv).deviation, std::sqrt(1. / (32 * 9)), 1e-3);
  EXPECT_LE(moments(conv).largest, std::sqrt(3. / (32 * 9)));
  const Tensor linear = Tensor::empty({300, 100});
  fill_xavier_uniform(linear, stream);
  EXPECT_NEAR(moments(linear).largest, std::sqrt(6. / 400.), 1e-3);
  EXPECT_NEAR(moments(linear).deviation, std::sqrt(2. / 400.), 1e-3);
}

TEST(Initialise, HeadsLookInDifferentDirections) {
  const Tensor bias = Tensor::empty({8 * 3 * 4 * 2});
  fill_directions(bias, 8, 4);
  const auto at = [&](int head, int level, int point, int axis) {
    return bias.data<float>()[((head * 3 + level) * 4 + point) * 2 + axis];
  };
  EXPECT_FLOAT_EQ(at(0, 0, 0, 0), 1.f);
  EXPECT_NEAR(at(0, 2, 3, 1), 0.f, 1e-6);
  EXPECT_FLOAT_EQ(at(0, 2, 3, 0), 4.f);
  EXPECT_FLOAT_EQ(at(1, 1, 1, 0), 2.f);
  EXPECT_FLOAT_EQ(at(1, 1, 1, 1), 2.f);
  EXPECT_FLOAT_EQ(at(4, 0, 2, 0), -3.f);
  EXPECT_FLOAT_EQ(at(6, 0, 0, 1), -1.f);
  EXPECT_THROW(fill_directions(Tensor::empty({30}), 8, 4), ShapeError);
}

TEST(Initialise, GoesByRoleAndSeed) {
  ParamStore store;
  const Scope root(store);
  const Scope norm = root / "backbone" / "stem" / "norm";
  const Tensor scale = norm.buffer("weight", {3}), shift = norm.buffer("bias", {3});
  const Tensor mean = norm.buffer("running_mean", {3}), variance = norm.buffer("running_var", {3});
  const Tensor empty_weight = (root / "criterion").buffer("empty_weight", {5});
  const Tensor gain = (root / "norm1").param("weight", {4}, Role::norm);
  const Tensor offset = (root / "norm1").param("bias", {4}, Role::norm);
  const Tensor bias = (root / "linear").param("bias", {4}, Role::bias);
  const Tensor embedding = (root / "query_feat").param("weight", {100, 64}, Role::embedding);
  const Tensor weight = (root / "linear").param("weight", {64, 64}, Role::weight);
  const Tensor offsets = (root / "self_attn" / "sampling_offsets").param("bias", {64}, Role::bias);
  const std::uint64_t version = bias.storage()->version();
  initialise(store, {.seed = 1});
  EXPECT_GT(bias.storage()->version(), version);
  EXPECT_EQ(scale.data<float>()[2], 1.f);
  EXPECT_EQ(shift.data<float>()[2], 0.f);
  EXPECT_EQ(mean.data<float>()[2], 0.f);
  EXPECT_EQ(variance.data<float>()[2], 1.f);
  EXPECT_EQ(empty_weight.data<float>()[3], 1.f);
  EXPECT_EQ(empty_weight.data<float>()[4], 0.1f);
  EXPECT_EQ(gain.data<float>()[0], 1.f);
  EXPECT_EQ(offset.data<float>()[0], 0.f);
  EXPECT_EQ(bias.data<float>()[3], 0.f);
  EXPECT_NEAR(moments(embedding).deviation, 1., 0.03);
  EXPECT_EQ(offsets.data<float>()[0], 1.f);
  const float first = weight.data<float>()[0];
  initialise(store, {.seed = 2});
  EXPECT_NE(weight.data<float>()[0], first);
  initialise(store, {.seed = 1});
  EXPECT_EQ(weight.data<float>()[0], first);
}

}  // namespace
}  // namespace visage::nn
