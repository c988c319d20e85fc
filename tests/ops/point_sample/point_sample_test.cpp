#include "ops/point_sample/point_sample.h"

#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cuda/determinism.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

Tensor sample(std::span<const Tensor> in) { return point_sample(in[0], in[1]); }
Tensor sample_planes(std::span<const Tensor> in) { return point_sample_planes(in[0], in[1]); }

// Points inside and around the unit square, away from the kinks at the pixel centres.
Tensor smooth_points(const Dims& size, std::int64_t height, std::int64_t width, std::uint64_t seed) {
  const Tensor points = random_normal(size, seed, DType::f32, 0.5, 0.4);
  for (std::int64_t i = 0; i < points.numel(); ++i) {
    const auto pixels = static_cast<float>(i % 2 ? height : width);
    const float pixel = points.data<float>()[i] * pixels - 0.5f, cell = std::floor(pixel);
    points.data<float>()[i] = (cell + 0.3f + 0.4f * (pixel - cell) + 0.5f) / pixels;
  }
  return points;
}

TEST(PointSampleGolden, EqualsTheRecordedNumbersAndGradients) {
  const test::GoldenFile golden("ops.safetensors");
  const std::vector<Tensor> inputs = {test::to_nhwc(golden.load("point_sample/in/x")),
                                      golden.load("point_sample/in/coords")};
  EXPECT_TRUE(golden.matches("point_sample/out/y", permute(sample(inputs), {0, 2, 1})));
  const Tensor up = permute(golden.load("point_sample/up/y"), {0, 2, 1});
  const auto got = test::gradients(sample, inputs, {true, true}, up);
  EXPECT_TRUE(golden.matches("point_sample/grad/x", test::to_nchw(got[0])));
  EXPECT_TRUE(golden.matches("point_sample/grad/coords", got[1]));
}

TEST(PointSample, BlendsPixelsWithZerosAtTheBorder) {
  const Tensor plane = test::tensor_of({1, 2, 2}, std::vector<double>{4, 8, 12, 16});
  const float far = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<double> at = {0.25, 0.25, 0.75, 0.75, 0.5, 0.5, 0,   0.25, 1,
                                  1,    1.25, 0.5,  -9e9, 0.5, far, 0.5, nan,  0.5};
  const Tensor got = point_sample_planes(plane, test::tensor_of({1, 9, 2}, at));
  EXPECT_EQ(test::values_of(got), (std::vector<double>{4, 16, 10, 2, 4, 0, 0, 0, 0}));
}

TEST(PointSample, PlanesAreImagesOfOneChannel) {
  const Tensor planes = random_normal({3, 5, 7}, 1), points = random_normal({3, 50, 2}, 2, DType::f32, 0.5, 0.4);
  const Tensor image = Tensor::alias(planes, {3, 5, 7, 1}, {35, 7, 1, 1});
  EXPECT_EQ(test::values_of(point_sample_planes(planes, points)), test::values_of(point_sample(image, points)));
}

TEST(PointSample, MasksOfBytesAreSampledAsNumbers) {
  const Tensor masks = Tensor::zeros({2, 4, 5}, DType::u8);
  for (std::int64_t i = 0; i < masks.numel(); i += 3) masks.data<std::uint8_t>()[i] = 1;
  const Tensor points = random_normal({2, 30, 2}, 2, DType::f32, 0.5, 0.3);
  EXPECT_EQ(test::values_of(point_sample_planes(masks, points)),
            test::values_of(point_sample_planes(test::tensor_of(masks.size(), test::values_of(masks)), points)));
}

TEST(PointSample, OneSetOfPointsServesAllImages) {
  const Tensor features = random_normal({3, 4, 5, 6}, 1), points = random_normal({1, 9, 2}, 2, DType::f32, 0.5, 0.3);
  const Tensor repeated = repeat_batch(Tensor::alias(points, {9, 2}, {2, 1}), 3);
  EXPECT_EQ(test::values_of(point_sample(features, points)), test::values_of(point_sample(features, repeated)));
  const auto by_features = [&](std::span<const Tensor> in) { return point_sample(in[0], points); };
  EXPECT_TRUE(test::gradcheck(by_features, {features}));
  autograd::set_requires_grad(points);
  const autograd::Tape tape;
  EXPECT_THROW((void)point_sample(features, points), AutogradError);
}

TEST(PointSample, GradientsAreTheDerivatives) {
  const test::GradcheckOptions near{.step = 1e-3, .tolerance = 2e-3};
  EXPECT_TRUE(test::gradcheck(sample, {random_normal({2, 3, 4, 3}, 1), smooth_points({2, 8, 2}, 3, 4, 2)}, near));
  EXPECT_TRUE(test::gradcheck(sample, {random_normal({2, 9, 7, 70}, 1), smooth_points({2, 300, 2}, 9, 7, 2)}, near));
  EXPECT_TRUE(test::gradcheck(sample_planes, {random_normal({3, 4, 5}, 1), smooth_points({3, 8, 2}, 4, 5, 2)}, near));
}

TEST(PointSample, NoInstanceGivesNoSamples) {
  EXPECT_EQ(point_sample_planes(Tensor::zeros({0, 4, 5}), Tensor::zeros({0, 9, 2})).size(), (Dims{0, 9}));
  EXPECT_EQ(uncertain_points(Tensor::zeros({0, 4, 5}), Tensor::zeros({0, 9, 2}), Tensor::zeros({0, 1, 2}), 3).size(),
            (Dims{0, 3, 2}));
}

TEST(PointSample, RefusesPartsThatDoNotFit) {
  const Tensor planes = Tensor::zeros({2, 4, 5}), points = Tensor::zeros({2, 9, 2});
  EXPECT_THROW((void)point_sample_planes(planes, Tensor::zeros({3, 9, 2})), ShapeError);
  EXPECT_THROW((void)point_sample_planes(planes, Tensor::zeros({2, 9, 3})), ShapeError);
  EXPECT_THROW((void)point_sample_planes(planes, Tensor::zeros({2, 9, 2}, DType::bf16)), DTypeError);
  EXPECT_THROW((void)point_sample_planes(Tensor::zeros({2, 4, 5}, DType::i32), points), DTypeError);
  EXPECT_THROW((void)point_sample_planes(Tensor::alias(planes, {2, 5, 4}, {20, 1, 5}), points), ShapeError);
  EXPECT_THROW((void)point_sample(planes, points), ShapeError);
  EXPECT_THROW((void)uncertain_points(planes, points, Tensor::zeros({2, 2, 2}), 12), ShapeError);
  EXPECT_THROW((void)uncertain_points(planes, points, Tensor::zeros({2, 2, 2}), 1), ShapeError);
}

// The points of every mask, sorted.
std::vector<std::pair<double, double>> sorted_points(const Tensor& points, std::int64_t mask) {
  const std::vector<double> all = test::values_of(points);
  std::vector<std::pair<double, double>> result;
  for (std::int64_t i = mask * points.size(1); i < (mask + 1) * points.size(1); ++i)
    result.emplace_back(all[2 * i], all[2 * i + 1]);
  std::sort(result.begin(), result.end());
  return result;
}

TEST(UncertainPointsGolden, ChoosesTheRecordedPoints) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor planes = golden.load("uncertain_points/in/logits");  // [M,1,H,W]
  const Dims size{planes.size(0), planes.size(2), planes.size(3)};
  const Tensor want = golden.load("uncertain_points/out/coords");
  const Tensor got =
      uncertain_points(Tensor::alias(planes, size, contiguous_strides(size)), golden.load("uncertain_points/in/rand0"),
                       golden.load("uncertain_points/in/rand1"), want.size(1));
  ASSERT_EQ(got.size(), want.size());
  for (std::int64_t m = 0; m < size[0]; ++m) EXPECT_EQ(sorted_points(got, m), sorted_points(want, m)) << m;
}

TEST(UncertainPoints, KeepsTheUndecidedOnesAndAppendsTheRandomOnes) {
  const Tensor logits = test::tensor_of({1, 1, 5}, std::vector<double>{-3, 0.5, -0.25, 7, std::nan("")});
  const Tensor candidates = test::tensor_of({1, 4, 2}, std::vector<double>{0.1, 0.5, 0.3, 0.5, 0.5, 0.5, 0.9, 0.5});
  const Tensor random = test::tensor_of({1, 1, 2}, std::vector<double>{0.95, 0.1});
  const auto x_of = [](const Tensor& points) {
    std::vector<float> x;
    for (std::int64_t i = 0; i < points.size(1); ++i) x.push_back(points.data<float>()[2 * i]);
    return x;
  };
  EXPECT_EQ(x_of(uncertain_points(logits, candidates, random, 3)), (std::vector<float>{0.3f, 0.5f, 0.95f}));
  EXPECT_EQ(x_of(uncertain_points(logits, candidates, random, 2)), (std::vector<float>{0.5f, 0.95f}));
  EXPECT_EQ(x_of(uncertain_points(logits, candidates, random, 1)), (std::vector<float>{0.95f}));
  EXPECT_EQ(uncertain_points(logits, candidates, random, 5).size(1), 5);
  autograd::set_requires_grad(logits);
  const autograd::Tape tape;
  EXPECT_THROW((void)uncertain_points(logits, candidates, random, 3), AutogradError);
}

using Tensors = std::vector<Tensor>;

Tensors one_sample(const Tensors& in) { return {sample(in)}; }
Tensors one_sample_of_planes(const Tensors& in) { return {sample_planes(in)}; }

// Both ways to add up the gradients of the features.
TEST(PointSampleOnDevices, IsTheSame) {
  for (const bool deterministic : {true, false}) {
    const cuda::DeterminismScope scope(deterministic);
    for (const std::int64_t channels : {1, 5, 8, 40}) {
      const Tensors in{random_normal({2, 6, 4, channels}, 1), smooth_points({2, 70, 2}, 6, 4, 2)};
      EXPECT_TRUE(test::same_on_devices(one_sample, in, {.gradients_of = {0, 1}})) << channels;
    }
    const Tensors shared{random_normal({3, 5, 7, 4}, 1), smooth_points({1, 30, 2}, 5, 7, 2)};
    EXPECT_TRUE(test::same_on_devices(one_sample, shared, {.gradients_of = {0}}));
    const Tensors planes{random_normal({3, 5, 7}, 1, DType::f32, 0, 1e-30), smooth_points({3, 300, 2}, 5, 7, 2)};
    EXPECT_TRUE(test::same_on_devices(one_sample_of_planes, planes, {.gradients_of = {0, 1}}));
    const Tensors none{Tensor::zeros({0, 5, 7}), Tensor::zeros({0, 3, 2})};
    EXPECT_TRUE(test::same_on_devices(one_sample_of_planes, none, {.gradients_of = {0, 1}}));
    const auto infinite = [](const Tensors& in) { return Tensors{mul_scalar(sample(in), INFINITY)}; };
    EXPECT_TRUE(test::same_on_devices(infinite, shared, {.gradients_of = {0}}));
  }
}

TEST(PointSampleOnDevices, BordersAndMasksAreTheSame) {
  const std::vector<double> at{0, 0, 1, 1, -0.2, 0.5, 0.5, 1.3, 0.05, 0.95, std::nan(""), 0.5, INFINITY, 0.5, 1e30, 0};
  const Tensor points = test::tensor_of({1, 8, 2}, at);
  EXPECT_TRUE(test::same_on_devices(one_sample, {random_normal({2, 3, 5, 4}, 1), points}, {.gradients_of = {0}}));
  std::vector<double> mask(15);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 0;
  for (const DType dtype : {DType::u8, DType::boolean})
    EXPECT_TRUE(test::same_on_devices(one_sample_of_planes, {test::tensor_of({1, 3, 5}, mask, dtype), points}));
}

TEST(UncertainPointsOnDevices, TheChoiceIsTheSameInTies) {
  const auto choose = [](std::int64_t points) {
    return [=](const Tensors& in) { return Tensors{uncertain_points(in[0], in[1], in[2], points)}; };
  };
  // Samples at the pixel of a candidate: many are equal, zeros of either sign and not a number among them.
  std::vector<double> values, at;
  for (int i = 0; i < 2 * 40; ++i) values.push_back(i % 7 == 3 ? -0. : 0.25 * (i % 5) - 0.5);
  values[20] = std::nan("");
  for (int i = 0; i < 2 * 1500; ++i) {
    at.push_back((i * 11 % 40 + 0.5) / 40);
    at.push_back(0.5 + 1e-4 * (i % 13));  // tells equal ones apart; one row of pixels: the logit does not change
  }
  const Tensor logits = test::tensor_of({2, 1, 40}, values), random = random_normal({2, 3, 2}, 3, DType::f32, 0.5, 0.1);
  const Tensor candidates = test::tensor_of({2, 1500, 2}, at);
  for (const std::int64_t points : {3, 4, 77, 1100, 1503})
    EXPECT_TRUE(test::same_on_devices(choose(points), {logits, candidates, random}, {.output_tolerance = 0})) << points;
  EXPECT_TRUE(
      test::same_on_devices(choose(60), {random_normal({2, 9, 7}, 1), candidates, random}, {.output_tolerance = 0}));
}

}  // namespace
}  // namespace visage::ops
