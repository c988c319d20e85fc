#include "ops/loss/mask_loss.h"

#include "autograd/tape.h"
#include "tensor/cpu/parallel.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;
using Loss = Tensor (*)(const Tensor&, const Tensor&, double);

struct NamedLoss {
  const char* name;
  Loss loss;
};
constexpr NamedLoss kLosses[] = {{"sigmoid_ce", sigmoid_ce_loss}, {"dice", dice_loss}};

Tensor soft_targets(const Dims& size) {
  std::vector<double> values = test::values_of(random_normal(size, 7));
  for (double& x : values) x = 1 / (1 + std::exp(-2 * x));
  return test::tensor_of(size, values);
}

Tensor gradient(Loss loss, const Tensor& logits, const Tensor& targets, double num_masks) {
  const auto fn = [&](std::span<const Tensor> in) { return loss(in[0], targets, num_masks); };
  const Tensor one = test::on(test::tensor_of({1}, std::vector<double>{1}), logits.device());
  return test::gradients(fn, {logits}, {true}, one)[0];
}

TEST(MaskLossGolden, EqualsTheRecordedNumbersAndGradients) {
  const test::GoldenFile golden("ops.safetensors");
  for (const auto& [name, loss] : kLosses) {
    const std::string op = name;
    const Tensor x = golden.load(op + "/in/x"), t = golden.load(op + "/in/t");
    EXPECT_TRUE(golden.matches(op + "/out/loss", loss(x, t, 3))) << op;
    const auto fn = [&](std::span<const Tensor> in) { return loss(in[0], t, 3); };
    EXPECT_TRUE(golden.matches(op + "/grad/x", test::gradients(fn, {x}, {true}, golden.load(op + "/up/loss"))[0]));
  }
}

TEST(MaskLoss, GradientsAreTheDerivatives) {
  for (const auto& [name, loss] : kLosses)
    for (const Dims& size : {Dims{3, 20}, Dims{1, 1}, Dims{5, 1500}}) {
      const Tensor targets = soft_targets(size);
      const auto fn = [&](std::span<const Tensor> in) { return loss(in[0], targets, 2.5); };
      EXPECT_TRUE(test::gradcheck(fn, {random_normal(size, 1)})) << name << ' ' << size;
    }
}

TEST(MaskLoss, TheSameOnEveryDevice) {
  for (const auto& [name, loss] : kLosses) {
    // Packets and single points, a slice and more than one, more masks than a block has threads.
    for (const Dims& size : {Dims{3, 20}, Dims{1, 1}, Dims{2, 4100}, Dims{2, 4097}, Dims{300, 3}, Dims{0, 5}}) {
      const auto fn = [&](const std::vector<Tensor>& in) { return std::vector<Tensor>{loss(in[0], in[1], 2.5)}; };
      EXPECT_TRUE(test::same_on_devices(fn, {random_normal(size, 1, DType::f32, 0, 4), soft_targets(size)},
                                        {.gradients_of = {0}}))
          << name << ' ' << size;
    }
  }
}

TEST(MaskLoss, RowsNeedNotBeAligned) {
  test::for_each_device([](Device device) {
    const Tensor x = test::on(random_normal({9}, 1), device), t = test::on(soft_targets({9}), device);
    const Tensor shifted_x = Tensor::alias(x, {2, 4}, {4, 1}, 1), shifted_t = Tensor::alias(t, {2, 4}, {4, 1}, 1);
    const auto copy = [&](const Tensor& y) { return test::on(test::tensor_of({2, 4}, test::values_of(y)), device); };
    for (const auto& [name, loss] : kLosses)
      EXPECT_TRUE(allclose(loss(shifted_x, shifted_t, 1), loss(copy(shifted_x), copy(shifted_t), 1))) << name;
  });
}

TEST(MaskLoss, HasTheValuesOfItsDefinition) {
  const Tensor x = test::tensor_of({2, 2}, std::vector<double>{0, 0, std::log(3.), -std::log(3.)});
  const Tensor t = test::tensor_of({2, 2}, std::vector<double>{1, 0, 1, 0});
  // Row 0: two times log 2; row 1: two times log(4 / 3).
  const double ce = (std::log(2.) + std::log(4. / 3)) / 4;
  EXPECT_TRUE(allclose(sigmoid_ce_loss(x, t, 4), test::tensor_of({1}, std::vector<double>{ce})));
  // Row 0: 1 - 2 / 3; row 1: p = 3/4, 1/4: 1 - 2.5 / 3.
  EXPECT_TRUE(allclose(dice_loss(x, t, 4), test::tensor_of({1}, std::vector<double>{(1. / 3 + 0.5 / 3) / 4})));
}

TEST(MaskLoss, ExtremeLogitsAreStable) {
  test::for_each_device([](Device device) {
    const Tensor x = test::on(test::tensor_of({1, 4}, std::vector<double>{1e4, -1e4, 1e4, -1e4}), device);
    const Tensor t = test::on(test::tensor_of({1, 4}, std::vector<double>{1, 0, 0, 1}), device);
    EXPECT_EQ(test::values_of(sigmoid_ce_loss(x, t, 1))[0], 5000);
    EXPECT_EQ(test::values_of(gradient(sigmoid_ce_loss, x, t, 1)), (std::vector<double>{0, 0, 0.25, -0.25}));
    EXPECT_NEAR(test::values_of(dice_loss(x, t, 1))[0], 1 - 3. / 5, 1e-7);
    EXPECT_EQ(test::values_of(gradient(dice_loss, x, t, 1)), (std::vector<double>{0, 0, 0, 0}));
  });
}

TEST(MaskLoss, NoInstanceGivesZero) {
  for (const auto& [name, loss] : kLosses)
    for (const Dims& size : {Dims{0, 20}, Dims{3, 0}, Dims{0, 0}}) {
      EXPECT_EQ(test::values_of(loss(Tensor::zeros(size), Tensor::zeros(size), 1)), std::vector<double>{0}) << name;
      EXPECT_EQ(gradient(loss, Tensor::zeros(size), Tensor::zeros(size), 1).size(), size) << name;
    }
}

TEST(MaskLoss, DoesNotDependOnTheNumberOfThreads) {
  const Tensor x = random_normal({11, 3000}, 1), t = soft_targets({11, 3000});
  const int threads = cpu::num_threads();
  for (const auto& [name, loss] : kLosses) {
    const auto many = test::values_of(loss(x, t, 7));
    const auto many_gradient = test::values_of(gradient(loss, x, t, 7));
    cpu::set_num_threads(1);
    EXPECT_EQ(test::values_of(loss(x, t, 7)), many) << name;
    EXPECT_EQ(test::values_of(gradient(loss, x, t, 7)), many_gradient) << name;
    cpu::set_num_threads(threads);
  }
}

TEST(MaskLoss, RefusesPartsThatDoNotFit) {
  const Tensor x = Tensor::zeros({2, 3});
  for (const auto& [name, loss] : kLosses) {
    EXPECT_THROW((void)loss(x, Tensor::zeros({2, 4}), 1), ShapeError) << name;
    EXPECT_THROW((void)loss(x, Tensor::zeros({2, 3}, DType::u8), 1), DTypeError) << name;
    EXPECT_THROW((void)loss(x, x, 0), Error) << name;
    EXPECT_THROW((void)loss(x, x, std::nan("")), Error) << name;
    const autograd::Tape tape;
    const Tensor targets = Tensor::zeros({2, 3});
    autograd::set_requires_grad(targets);
    EXPECT_THROW((void)loss(x, targets, 1), AutogradError) << name;
  }
}

}  // namespace
}  // namespace visage::ops
