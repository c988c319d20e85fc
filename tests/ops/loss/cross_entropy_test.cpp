#include "ops/loss/cross_entropy.h"

#include "autograd/tape.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

Tensor labels_of(const Dims& size, const std::vector<double>& values) {
  return test::tensor_of(size, values, DType::i64);
}

TEST(CrossEntropyGolden, EqualsTheRecordedNumbersAndGradient) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor labels = golden.load("weighted_ce/in/target"), weights = golden.load("weighted_ce/in/weight");
  const auto fn = [&](std::span<const Tensor> in) { return weighted_cross_entropy(in[0], labels, weights); };
  const Tensor x = golden.load("weighted_ce/in/x");
  EXPECT_TRUE(golden.matches("weighted_ce/out/loss", fn(std::span(&x, 1))));
  EXPECT_TRUE(
      golden.matches("weighted_ce/grad/x", test::gradients(fn, {x}, {true}, golden.load("weighted_ce/up/loss"))[0]));
}

TEST(CrossEntropy, IsTheWeightedMean) {
  // Probabilities 3/4, 1/4 in both rows.
  const Tensor x = test::tensor_of({2, 2}, std::vector<double>{std::log(3.), 0, std::log(3.), 0});
  const Tensor weights = test::tensor_of({2}, std::vector<double>{1, 0.5});
  const double want = (std::log(4. / 3) + 0.5 * std::log(4.)) / 1.5;
  EXPECT_TRUE(allclose(weighted_cross_entropy(x, labels_of({2}, {0, 1}), weights),
                       test::tensor_of({1}, std::vector<double>{want})));
}

TEST(CrossEntropy, GradientsAreTheDerivatives) {
  const Tensor weights = test::tensor_of({5}, std::vector<double>{1, 1, 0.5, 2, 0.1});
  for (const std::int64_t rows : {1, 6, 300}) {
    std::vector<double> labels(rows);
    for (std::int64_t i = 0; i < rows; ++i) labels[i] = static_cast<double>(i * 3 % 5);
    const Tensor target = labels_of({rows}, labels);
    const auto fn = [&](std::span<const Tensor> in) { return weighted_cross_entropy(in[0], target, weights); };
    EXPECT_TRUE(test::gradcheck(fn, {random_normal({rows, 5}, 1)})) << rows;
  }
}

TEST(CrossEntropy, TheSameOnEveryDevice) {
  // Rows: fewer and more than the warps of all blocks; classes: fewer and more than a warp, and one.
  for (const Dims& size : {Dims{1, 1}, Dims{3, 7, 41}, Dims{2500, 3}, Dims{0, 5}, Dims{5, 100}}) {
    SCOPED_TRACE(testing::Message() << size);
    const std::int64_t classes = size[-1];
    Dims rows;
    for (int i = 0; i + 1 < size.rank; ++i) rows.append(size[i]);
    std::vector<double> labels(rows.numel()), weights(classes);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<double>(i * 5 % classes);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i % 3 == 2 ? 0.1 : 1;
    const auto fn = [&](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{weighted_cross_entropy(in[0], in[1], in[2])};
    };
    EXPECT_TRUE(test::same_on_devices(
        fn, {random_normal(size, 1, DType::f32, 3, 2), labels_of(rows, labels), test::tensor_of({classes}, weights)},
        {.gradients_of = {0}}));
  }
}

TEST(CrossEntropy, OnAGpuALabelThatIsNoClassMakesTheLossNaN) {
  test::for_each_device([](Device device) {
    if (device.type == DeviceType::cpu) return;
    for (const double wrong : {-1., 3.}) {
      const Tensor loss =
          weighted_cross_entropy(test::on(Tensor::zeros({2, 3}), device), test::on(labels_of({2}, {0, wrong}), device),
                                 test::on(Tensor::zeros({3}), device));
      EXPECT_TRUE(std::isnan(test::values_of(loss)[0])) << wrong;
    }
  });
}

TEST(CrossEntropy, ExtremeLogitsAreStable) {
  const Tensor x = test::tensor_of({2, 3}, std::vector<double>{1e4, -1e4, 0, -1e4, 1e4, 1e4});
  const Tensor weights = test::tensor_of({3}, std::vector<double>{1, 1, 1}), labels = labels_of({2}, {1, 2});
  test::for_each_device([&](Device device) {
    const auto fn = [&](std::span<const Tensor> in) {
      return weighted_cross_entropy(in[0], test::on(labels, device), test::on(weights, device));
    };
    const Tensor there = test::on(x, device);
    EXPECT_NEAR(test::values_of(fn(std::span(&there, 1)))[0], (2e4 + std::log(2.)) / 2, 1e-3);
    const Tensor one = test::on(test::tensor_of({1}, std::vector<double>{1}), device);
    const Tensor got = test::gradients(fn, {there}, {true}, one)[0];
    EXPECT_EQ(test::values_of(got), (std::vector<double>{0.5, -0.5, 0, 0, 0.25, -0.25}));
  });
}

TEST(CrossEntropy, WithoutRowsOrWeightsItIsZero) {
  const Tensor none = labels_of({0}, {});
  EXPECT_EQ(test::values_of(weighted_cross_entropy(Tensor::zeros({0, 3}), none, Tensor::zeros({3})))[0], 0);
  const Tensor labels = labels_of({2}, {0, 2}), weights = Tensor::zeros({3});
  const auto fn = [&](std::span<const Tensor> in) { return weighted_cross_entropy(in[0], labels, weights); };
  const Tensor x = random_normal({2, 3}, 1);
  EXPECT_EQ(test::values_of(fn(std::span(&x, 1)))[0], 0);
  const Tensor got = test::gradients(fn, {x}, {true}, test::tensor_of({1}, std::vector<double>{1}))[0];
  EXPECT_EQ(test::values_of(got), std::vector<double>(6, 0));
}

TEST(CrossEntropy, RefusesPartsThatDoNotFit) {
  const Tensor x = Tensor::zeros({2, 3}), weights = Tensor::zeros({3});
  EXPECT_THROW((void)weighted_cross_entropy(x, labels_of({3}, {0, 0, 0}), weights), ShapeError);
  EXPECT_THROW((void)weighted_cross_entropy(x, labels_of({2}, {0, 0}), Tensor::zeros({4})), ShapeError);
  EXPECT_THROW((void)weighted_cross_entropy(x, Tensor::zeros({2}), weights), DTypeError);
  const auto wrong = [&](double label) {
    return test::message_of<Error>([&] { (void)weighted_cross_entropy(x, labels_of({2}, {0, label}), weights); });
  };
  EXPECT_EQ(wrong(3), "weighted_cross_entropy: label 3 at position 1 is not in [0, 3)");
  EXPECT_EQ(wrong(-1), "weighted_cross_entropy: label -1 at position 1 is not in [0, 3)");
}

}  // namespace
}  // namespace visage::ops
