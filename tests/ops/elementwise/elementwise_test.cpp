#include "ops/elementwise/elementwise.h"

#include "ops/shape/views.h"
#include "tests/support/allclose.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace visage {
namespace {

Tensor counting(const Dims& size) {
  Tensor t = Tensor::empty(size);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(i);
  return t;
}

TEST(Elementwise, AddRepeatsTheShorterOne) {
  const Tensor y = ops::add(counting({2, 3, 4}), counting({3, 4}));
  for (std::int64_t i = 0; i < 24; ++i) EXPECT_EQ(y.data<float>()[i], static_cast<float>(i + i % 12));
  EXPECT_THROW((void)ops::add(counting({2, 3, 4}), counting({2, 4})), ShapeError);
}

TEST(Elementwise, SoftmaxSurvivesLargeValues) {
  const float rows[] = {1000.f, 1000.f, 999.f, -1000.f, 0.f, 0.f};
  const Tensor y = ops::softmax(Tensor::from({2, 3}, rows));
  const double e = std::exp(-1.0);
  const float want[] = {static_cast<float>(1 / (2 + e)),
                        static_cast<float>(1 / (2 + e)),
                        static_cast<float>(e / (2 + e)),
                        0.f,
                        0.5f,
                        0.5f};
  EXPECT_TRUE(test::allclose(y, Tensor::from({2, 3}, want), {.reduced = 3}));
}

TEST(Elementwise, CastRoundsToNearestEven) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float values[] = {1.f, 1.00390625f, 1.01171875f, -3.14159274f, INFINITY, nan};
  const Tensor back = ops::cast(ops::cast(Tensor::from({6}, values), DType::bf16), DType::f32);
  const float want[] = {1.f, 1.f, 1.015625f, -3.140625f, INFINITY, nan};
  EXPECT_TRUE(test::allclose(back, Tensor::from({6}, want)));
}

TEST(Elementwise, PermuteMovesAxes) {
  const Tensor y = ops::permute(counting({2, 3, 4, 5}), {3, 1, 0, 2});
  ASSERT_EQ(y.size(), (Dims{5, 3, 2, 4}));
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t d = i % 4, a = i / 4 % 2, b = i / 8 % 3, c = i / 24;
    EXPECT_EQ(y.data<float>()[i], static_cast<float>(((a * 3 + b) * 4 + d) * 5 + c));
  }
  EXPECT_THROW((void)ops::permute(y, {0, 1, 2, 2}), ShapeError);
}

TEST(Views, NarrowAndReshapeShareElements) {
  const Tensor x = counting({2, 6, 4});
  const Tensor window = ops::narrow(x, -2, 2, 3);
  EXPECT_EQ(window.data<float>(), x.data<float>() + 8);
  EXPECT_THROW((void)ops::reshape(window, {-1}), ShapeError);  // has gaps
  EXPECT_THROW((void)ops::narrow(x, 1, 4, 3), ShapeError);
  EXPECT_EQ(ops::reshape(x, {-1, 8}).size(), (Dims{6, 8}));
  EXPECT_THROW((void)ops::reshape(x, {5, -1}), ShapeError);
}

TEST(Elementwise, SumsInF64) {
  const std::int64_t count = 1 << 20;
  const Tensor x = Tensor::empty({count});
  for (std::int64_t i = 0; i < count; ++i) x.data<float>()[i] = i % 2 ? 0.1f : 1e4f;
  const double want = static_cast<double>(count / 2) * (static_cast<double>(0.1f) + 1e4);
  EXPECT_EQ(*ops::sum_all(x).data<float>(), static_cast<float>(want));  // f32 would lose the small terms
  EXPECT_EQ(*ops::sum_all(Tensor::empty({0})).data<float>(), 0.f);
}

TEST(Elementwise, WeighsSums) {
  const Tensor terms[] = {counting({2}), counting({2}), ops::mul_scalar(counting({2}), -3.f)};
  const float weights[] = {2.f, 0.5f, 1.f};
  const Tensor y = ops::weighted_sum(terms, weights);
  EXPECT_EQ(y.data<float>()[0], 0.f);
  EXPECT_EQ(y.data<float>()[1], -0.5f);
  EXPECT_THROW((void)ops::weighted_sum(terms, std::span(weights, 2)), ShapeError);
  const Tensor unequal[] = {counting({2}), counting({3})};
  EXPECT_THROW((void)ops::weighted_sum(unequal, std::span(weights, 2)), ShapeError);
}

}  // namespace
}  // namespace visage
