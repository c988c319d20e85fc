#include "ops/loss/matching_cost.h"

#include "autograd/tape.h"
#include "tensor/cpu/parallel.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

TEST(MatchingCostGolden, EqualsTheRecordedNumbers) {
  const test::GoldenFile golden("ops.safetensors");
  EXPECT_TRUE(golden.matches("batch_sigmoid_ce/out/cost", batch_sigmoid_ce_cost(golden.load("batch_sigmoid_ce/in/x"),
                                                                                golden.load("batch_sigmoid_ce/in/t"))));
  EXPECT_TRUE(golden.matches("batch_dice/out/cost",
                             batch_dice_cost(golden.load("batch_dice/in/x"), golden.load("batch_dice/in/t"))));
}

Tensor binary(const Dims& size) {
  std::vector<double> values = test::values_of(random_normal(size, 3));
  for (double& x : values) x = x > 0.3;
  return test::tensor_of(size, values);
}

TEST(MatchingCost, EqualsTheDefinitionOnRealSizes) {
  const std::int64_t queries = 9, instances = 4, points = 5000;
  const Tensor x = random_normal({queries, points}, 1, DType::f32, -2, 4), t = binary({instances, points});
  const auto logit = test::values_of(x), target = test::values_of(t);
  std::vector<double> ce, dice;
  for (std::int64_t q = 0; q < queries; ++q)
    for (std::int64_t g = 0; g < instances; ++g) {
      double sum = 0, both = 0, either = 0;
      for (std::int64_t p = 0; p < points; ++p) {
        const double a = logit[q * points + p], b = target[g * points + p], probability = 1 / (1 + std::exp(-a));
        sum += b * std::log1p(std::exp(-a)) + (1 - b) * std::log1p(std::exp(a));
        both += probability * b;
        either += probability + b;
      }
      ce.push_back(sum / static_cast<double>(points));
      dice.push_back(1 - (2 * both + 1) / (either + 1));
    }
  // The subtraction leaves about the rounding of its terms, which are a few times larger than the result.
  EXPECT_TRUE(allclose(batch_sigmoid_ce_cost(x, t), test::tensor_of({queries, instances}, ce), {.absolute = 4e-6}));
  EXPECT_TRUE(allclose(batch_dice_cost(x, t), test::tensor_of({queries, instances}, dice), {.absolute = 1e-6}));
}

TEST(MatchingCost, ExtremeLogitsAreStable) {
  const Tensor x = test::tensor_of({2, 2}, std::vector<double>{1e4, -1e4, -1e4, 1e4});
  const Tensor t = test::tensor_of({1, 2}, std::vector<double>{1, 0});
  EXPECT_EQ(test::values_of(batch_sigmoid_ce_cost(x, t)), (std::vector<double>{0, 1e4}));
  const auto dice = test::values_of(batch_dice_cost(x, t));
  EXPECT_EQ(dice[0], 0);
  EXPECT_NEAR(dice[1], 1 - 1. / 3, 1e-7);
}

TEST(MatchingCost, ClassCostIsMinusTheProbability) {
  const Tensor x = test::tensor_of({2, 3}, std::vector<double>{0, std::log(2.), 0, 1e4, -1e4, 1e4});
  const Tensor labels = test::tensor_of({3}, std::vector<double>{1, 2, 1}, DType::i64);
  EXPECT_TRUE(
      allclose(class_cost(x, labels), test::tensor_of({2, 3}, std::vector<double>{-0.5, -0.25, -0.5, 0, -0.5, 0})));
}

TEST(MatchingCost, NoInstanceGivesNoColumns) {
  const Tensor x = Tensor::zeros({5, 7}), none = Tensor::zeros({0, 7});
  EXPECT_EQ(batch_sigmoid_ce_cost(x, none).size(), (Dims{5, 0}));
  EXPECT_EQ(batch_dice_cost(x, none).size(), (Dims{5, 0}));
  EXPECT_EQ(class_cost(x, Tensor::zeros({0}, DType::i64)).size(), (Dims{5, 0}));
}

TEST(MatchingCost, DoesNotDependOnTheNumberOfThreads) {
  const Tensor x = random_normal({13, 700}, 1), t = binary({3, 700});
  const auto ce = test::values_of(batch_sigmoid_ce_cost(x, t)), dice = test::values_of(batch_dice_cost(x, t));
  const int threads = cpu::num_threads();
  cpu::set_num_threads(1);
  EXPECT_EQ(test::values_of(batch_sigmoid_ce_cost(x, t)), ce);
  EXPECT_EQ(test::values_of(batch_dice_cost(x, t)), dice);
  cpu::set_num_threads(threads);
}

TEST(MatchingCost, RefusesPartsThatDoNotFit) {
  const Tensor x = Tensor::zeros({5, 7});
  EXPECT_THROW((void)batch_sigmoid_ce_cost(x, Tensor::zeros({2, 8})), ShapeError);
  EXPECT_THROW((void)batch_dice_cost(x, Tensor::zeros({2, 7}, DType::u8)), DTypeError);
  EXPECT_THROW((void)batch_dice_cost(Tensor::zeros({5, 0}), Tensor::zeros({2, 0})), ShapeError);
  EXPECT_THROW((void)class_cost(x, test::tensor_of({1}, std::vector<double>{7}, DType::i64)), Error);
  autograd::set_requires_grad(x);
  const autograd::Tape tape;
  EXPECT_THROW((void)batch_dice_cost(x, Tensor::zeros({2, 7})), AutogradError);
  EXPECT_THROW((void)class_cost(x, Tensor::zeros({1}, DType::i64)), AutogradError);
}

}  // namespace
}  // namespace visage::ops
