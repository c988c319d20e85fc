#include "ops/loss/matching_cost.h"

#include "autograd/tape.h"
#include "ops/shape/views.h"
#include "tensor/cpu/parallel.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/same_on_devices.h"
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

// matching_cost of one frame: class_logits [Q,K], labels [G], mask_logits [Q,P], mask_targets [G,P] -> [Q,G].
Tensor cost_of_frame(const Tensor& class_logits, const Tensor& labels, const Tensor& mask_logits,
                     const Tensor& mask_targets, const MatchingCostWeights& weights = {}) {
  const std::int64_t count = labels.numel();
  const RowRanges instances({&count, 1}, labels.device());
  const auto batch = [](const Tensor& x) { return reshape(x, {1, x.size(0), x.size(1)}); };
  return select(matching_cost(batch(class_logits), batch(mask_logits), instances, labels, mask_targets, weights), 0);
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

TEST(MatchingCost, TheSameOnEveryDevice) {
  const auto fn = [](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{batch_sigmoid_ce_cost(in[0], in[1]), batch_dice_cost(in[0], in[1]),
                               class_cost(in[2], in[3]), cost_of_frame(in[2], in[3], in[0], in[1])};
  };
  struct Size {
    std::int64_t queries, instances, points, classes;
  };
  // One of everything; parts of tiles and slices; several tiles and slices; no instance.
  for (const auto& [queries, instances, points, classes] :
       {Size{1, 1, 1, 1}, Size{5, 3, 70, 41}, Size{34, 17, 515, 3}, Size{3, 35, 1100, 2}, Size{4, 0, 9, 5}}) {
    std::vector<double> labels(instances);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<double>(i % classes);
    EXPECT_TRUE(test::same_on_devices(
        fn, {random_normal({queries, points}, 1, DType::f32, -1, 4), binary({instances, points}),
             random_normal({queries, classes}, 4), test::tensor_of({instances}, labels, DType::i64)}))
        << queries << ' ' << instances << ' ' << points;
  }
}

TEST(MatchingCost, IsTheWeightedSumOfItsParts) {
  const Tensor x = random_normal({6, 40}, 1), t = binary({3, 40}), classes = random_normal({6, 5}, 2);
  const Tensor labels = test::tensor_of({3}, std::vector<double>{0, 4, 2}, DType::i64);
  const auto ce = test::values_of(batch_sigmoid_ce_cost(x, t)), dice = test::values_of(batch_dice_cost(x, t));
  std::vector<double> want = test::values_of(class_cost(classes, labels));
  for (std::size_t i = 0; i < want.size(); ++i) want[i] = 3 * want[i] + 0.5 * ce[i] + 7 * dice[i];
  EXPECT_TRUE(allclose(cost_of_frame(classes, labels, x, t, {.classes = 3, .mask = 0.5, .dice = 7}),
                       test::tensor_of({6, 3}, want)));
}

// Instance by instance, the costs of a batch are those of its frames, also where a frame has none.
TEST(MatchingCost, OfABatchAreThoseOfItsFrames) {
  const std::vector<std::int64_t> counts{2, 0, 20, 1};
  constexpr std::int64_t kQueries = 6, kPoints = 600, kClasses = 5, kMost = 20;
  const Tensor x = random_normal({4, kQueries, kPoints}, 1), classes = random_normal({4, kQueries, kClasses}, 2);
  const Tensor t = binary({23, kPoints});
  std::vector<double> labels(23);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<double>(i % kClasses);
  const Tensor all_labels = test::tensor_of({23}, labels, DType::i64);
  test::for_each_device([&](Device device) {
    const RowRanges instances(counts, device);
    const auto on = [&](const Tensor& tensor) { return test::on(tensor, device); };
    const Tensor batch = matching_cost(on(classes), on(x), instances, on(all_labels), on(t));
    ASSERT_EQ(batch.size(), (Dims{4, kQueries, kMost}));
    const auto got = test::values_of(batch);
    for (std::int64_t n = 0; n < 4; ++n) {
      const std::int64_t first = instances.first(n), count = counts[n];
      const auto frame = test::values_of(cost_of_frame(on(select(classes, n)), on(narrow(all_labels, 0, first, count)),
                                                       on(select(x, n)), on(narrow(t, 0, first, count))));
      for (std::int64_t q = 0; q < kQueries; ++q)
        for (std::int64_t g = 0; g < kMost; ++g)
          EXPECT_EQ(got[(n * kQueries + q) * kMost + g], g < count ? frame[q * count + g] : 0.)
              << n << ' ' << q << ' ' << g;
    }
  });
}

TEST(MatchingCost, OnAGpuALabelThatIsNoClassCostsNaN) {
  test::for_each_device([](Device device) {
    if (device.type == DeviceType::cpu) return;
    const Tensor labels = test::on(test::tensor_of({3}, std::vector<double>{2, 7, -1}, DType::i64), device);
    const auto cost = test::values_of(class_cost(test::on(Tensor::zeros({1, 4}), device), labels));
    EXPECT_EQ(cost[0], -0.25);
    EXPECT_TRUE(std::isnan(cost[1]) && std::isnan(cost[2]));
  });
}

TEST(MatchingCost, ExtremeLogitsAreStable) {
  const Tensor x = test::tensor_of({2, 2}, std::vector<double>{1e4, -1e4, -1e4, 1e4});
  const Tensor t = test::tensor_of({1, 2}, std::vector<double>{1, 0});
  test::for_each_device([&](Device device) {
    const Tensor there = test::on(x, device), targets = test::on(t, device);
    EXPECT_EQ(test::values_of(batch_sigmoid_ce_cost(there, targets)), (std::vector<double>{0, 1e4}));
    const auto dice = test::values_of(batch_dice_cost(there, targets));
    EXPECT_EQ(dice[0], 0);
    EXPECT_NEAR(dice[1], 1 - 1. / 3, 1e-7);
  });
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
  const std::vector<std::int64_t> counts{1, 1};
  const RowRanges instances(counts, {});
  const Tensor masks = Tensor::zeros({2, 5, 7}), classes = Tensor::zeros({2, 5, 3}), t = Tensor::zeros({2, 7});
  const Tensor labels = Tensor::zeros({2}, DType::i64);
  EXPECT_EQ(matching_cost(classes, masks, instances, labels, t).size(), (Dims{2, 5, 1}));
  EXPECT_THROW((void)matching_cost(classes, masks, instances, Tensor::zeros({3}, DType::i64), t), ShapeError);
  EXPECT_THROW((void)matching_cost(classes, masks, instances, labels, Tensor::zeros({3, 7})), ShapeError);
  EXPECT_THROW((void)matching_cost(Tensor::zeros({2, 4, 3}), masks, instances, labels, t), ShapeError);
  EXPECT_THROW((void)matching_cost(classes, Tensor::zeros({1, 5, 7}), instances, labels, t), ShapeError);
  autograd::set_requires_grad(x);
  const autograd::Tape tape;
  EXPECT_THROW((void)batch_dice_cost(x, Tensor::zeros({2, 7})), AutogradError);
  EXPECT_THROW((void)class_cost(x, Tensor::zeros({1}, DType::i64)), AutogradError);
}

}  // namespace
}  // namespace visage::ops
