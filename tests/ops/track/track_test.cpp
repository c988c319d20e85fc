#include "autograd/tape.h"
#include "ops/track/class_score.h"
#include "ops/track/memory_read.h"
#include "ops/track/similarity.h"
#include "tests/support/devices.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::ops {
namespace {

using test::for_each_device;
using test::random_normal;
using test::same_on_devices;
using test::values_of;

double cosine(const std::vector<double>& a, std::int64_t i, const std::vector<double>& b, std::int64_t j,
              std::int64_t depth) {
  double dot = 0, aa = 0, bb = 0;
  for (std::int64_t d = 0; d < depth; ++d) {
    const double x = a[i * depth + d], y = b[j * depth + d];
    dot += x * y, aa += x * x, bb += y * y;
  }
  return aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
}

TEST(TrackSimilarity, CosineEqualsItsFormula) {
  for_each_device([](Device device) {
    for (const auto& [rows, columns, depth] : {std::tuple{1, 1, 1},
                                               {3, 5, 7},
                                               {4, 16, 8},
                                               {30, 30, 64},
                                               {17, 33, 257},
                                               {9, 70, 260},
                                               {0, 3, 4},
                                               {3, 0, 4}}) {
      const Tensor a = random_normal({rows, depth}, 1), b = random_normal({columns, depth}, 2);
      const auto x = values_of(a), y = values_of(b);
      const auto got = values_of(cosine_similarity(test::on(a, device), test::on(b, device)));
      ASSERT_EQ(got.size(), static_cast<std::size_t>(rows * columns));
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) EXPECT_NEAR(got[i * columns + j], cosine(x, i, y, j, depth), 1e-6);
    }
  });
}

TEST(TrackSimilarity, ZeroRowsAreSimilarToNothing) {
  const float a[] = {0, 0, 3, 4};
  const float b[] = {6, 8, 0, 0, -4, 3};
  for_each_device([&](Device device) {
    const auto got = values_of(
        cosine_similarity(test::on(Tensor::from({2, 2}, a), device), test::on(Tensor::from({3, 2}, b), device)));
    EXPECT_EQ(got[0], 0);
    EXPECT_EQ(got[1], 0);
    EXPECT_EQ(got[2], 0);
    EXPECT_NEAR(got[3], 1, 1e-6);
    EXPECT_EQ(got[4], 0);
    EXPECT_NEAR(got[5], 0, 1e-6);
  });
}

TEST(TrackSimilarity, LengthDoesNotMatter) {
  const float tiny[] = {3e-30f, 4e-30f}, huge[] = {3e30f, 4e30f, -4e30f, 3e30f};
  for_each_device([&](Device device) {
    const Tensor few = test::on(Tensor::from({1, 2}, tiny), device),
                 many = test::on(Tensor::from({2, 2}, huge), device);
    const auto got = values_of(cosine_similarity(few, many));
    EXPECT_NEAR(got[0], 1, 1e-6);
    EXPECT_NEAR(got[1], 0, 1e-6);
    EXPECT_NEAR(values_of(cosine_similarity(many, many))[0], 1, 1e-6);
  });
}

TEST(TrackSimilarity, BlendsBothTerms) {
  const std::int64_t slots = 6, queries = 9, depth = 12, other = 20;
  const Tensor object_memory = random_normal({slots, depth}, 1), object = random_normal({queries, depth}, 2);
  const Tensor appearance_memory = random_normal({slots, other}, 3), appearance = random_normal({queries, other}, 4);
  for (const double alpha : {0.0, 0.3, 1.0}) {
    const auto got = values_of(track_similarity({object_memory, object, appearance_memory, appearance, alpha}));
    for (std::int64_t k = 0; k < slots; ++k)
      for (std::int64_t q = 0; q < queries; ++q) {
        const double want = (1 - alpha) * cosine(values_of(object_memory), k, values_of(object), q, depth) +
                            alpha * cosine(values_of(appearance_memory), k, values_of(appearance), q, other);
        EXPECT_NEAR(got[k * queries + q], want, 1e-6);
      }
  }
  EXPECT_THROW((void)track_similarity({object_memory, object, appearance_memory, appearance, 1.5}), Error);
  EXPECT_THROW((void)track_similarity({object_memory, object, appearance_memory, appearance, std::nan("")}), Error);
  EXPECT_THROW((void)track_similarity({object_memory, object, object_memory, appearance, 0.5}), ShapeError);
  EXPECT_THROW((void)cosine_similarity(object, random_normal({3, depth + 1}, 5)), ShapeError);
  EXPECT_THROW((void)cosine_similarity(object, Tensor::zeros({3, depth}, DType::bf16)), DTypeError);
}

TEST(TrackSimilarity, TheSameOnEveryDevice) {
  for (const auto& [slots, queries, depth, other] :
       {std::tuple{1, 1, 1, 1}, {8, 32, 128, 132}, {11, 35, 64, 9}, {20, 20, 3, 136}, {5, 6, 4, 0}}) {
    const auto fn = [](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{track_similarity({in[0], in[1], in[2], in[3], 0.3})};
    };
    EXPECT_TRUE(same_on_devices(fn, {random_normal({slots, depth}, 1), random_normal({queries, depth}, 2),
                                     random_normal({slots, other}, 3), random_normal({queries, other}, 4)}));
  }
}

TEST(TrackMemoryRead, TheSameOnEveryDevice) {
  for (const Dims& size :
       {Dims{5, 7, 12}, Dims{1, 1, 1}, Dims{3, 50, 4}, Dims{2, 9, 33}, Dims{0, 4, 8}, Dims{2, 0, 8}}) {
    const auto fn = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{memory_read(in[0], in[1])}; };
    EXPECT_TRUE(same_on_devices(fn, {random_normal(size, 1), random_normal({size[0], size[1]}, 2)}));
  }
}

TEST(TrackClassScore, TheSameOnEveryDevice) {
  const auto fn = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{max_class_score(in[0])}; };
  for (const Dims& size : {Dims{9, 41}, Dims{1, 2}, Dims{5, 3}, Dims{4, 32}, Dims{6, 70}, Dims{0, 5}}) {
    EXPECT_TRUE(same_on_devices(fn, {random_normal(size, 1, DType::f32, 0, 5)}));
    EXPECT_TRUE(same_on_devices(fn, {random_normal(size, 2, DType::f32, 1e3, 20)}));
  }
}

TEST(TrackMemoryRead, WeighsEverySlotByItself) {
  const float bank[] = {1, 2, 3, 4, 5, 6, 7, 8};  // two frames, two slots, two channels
  const float weights[] = {1, 0.5f, 10, 0};
  const auto got = values_of(memory_read(Tensor::from({2, 2, 2}, bank), Tensor::from({2, 2}, weights)));
  EXPECT_EQ(got, (std::vector<double>{51, 62, 1.5, 2}));
  EXPECT_EQ(values_of(memory_read(Tensor::empty({0, 2, 2}), Tensor::empty({0, 2}))), std::vector<double>(4, 0.0));
  EXPECT_THROW((void)memory_read(Tensor::zeros({2, 2, 2}), Tensor::zeros({2, 3})), ShapeError);
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

TEST(TrackOps, RefuseToCutAGraph) {
  const autograd::Tape tape;
  const Tensor x = random_normal({2, 3}, 1);
  autograd::set_requires_grad(x);
  EXPECT_THROW((void)cosine_similarity(x, x), AutogradError);
  EXPECT_THROW((void)max_class_score(x), AutogradError);
}

}  // namespace
}  // namespace visage::ops
