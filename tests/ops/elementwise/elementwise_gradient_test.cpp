#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
#include "tests/support/threads.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

/// Random numbers at least 0.2 away from zero, where a ReLU has its kink.
Tensor away_from_zero(const Dims& size, std::uint64_t seed) {
  std::vector<double> values = test::values_of(random_normal(size, seed));
  for (double& value : values) value += std::copysign(0.2, value);
  return test::tensor_of(size, values);
}

TEST(ElementwiseGradient, Add) {
  const auto add = [](Inputs in) { return ops::add(in[0], in[1]); };
  EXPECT_TRUE(test::gradcheck(add, {random_normal({3, 7}, 1), random_normal({3, 7}, 2)}));
  EXPECT_TRUE(test::gradcheck(add, {random_normal({4, 3, 5}, 1), random_normal({3, 5}, 2)}));
  EXPECT_TRUE(test::gradcheck(add, {random_normal({2, 300, 40}, 1), random_normal({40}, 2)}));
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::add(in[0], in[0]); }, {random_normal({5}, 1)}));
}

// The gradient of the sum is handed on without a copy: writing to it later must not change what others got.
TEST(ElementwiseGradient, AddLeavesTheOtherGradientAlone) {
  const auto fn = [](Inputs in) {
    const Tensor a = ops::mul_scalar(in[0], 2.f), b = ops::mul_scalar(in[1], 3.f);
    const Tensor early = ops::mul_scalar(a, 5.f);  // its gradient comes last, onto the adopted one
    return ops::add(ops::add(a, b), early);
  };
  EXPECT_TRUE(test::gradcheck(fn, {random_normal({3, 4}, 1), random_normal({3, 4}, 2)}));
}

TEST(ElementwiseGradient, TheSeedStaysAsItIs) {
  const Tensor x = random_normal({3}, 1), up = random_normal({3}, 2), same = random_normal({3}, 2);
  autograd::set_requires_grad(x);
  autograd::Tape tape;
  const Tensor a = ops::mul_scalar(x, 2.f);
  tape.backward(ops::add(a, ops::mul_scalar(a, 3.f)), up);
  EXPECT_EQ(test::values_of(up), test::values_of(same));
  EXPECT_TRUE(test::allclose(autograd::grad(x), ops::mul_scalar(up, 8.f)));
}

TEST(ElementwiseGradient, Relu) {
  const auto relu = [](Inputs in) { return ops::relu(in[0]); };
  EXPECT_TRUE(test::gradcheck(relu, {away_from_zero({4, 9}, 1)}, {.element_limit = 100}));
  const float at_kink[] = {-1.f, 0.f, 2.f}, up[] = {3.f, 3.f, 3.f};
  const auto got = test::gradients(relu, {Tensor::from({3}, at_kink)}, {true}, Tensor::from({3}, up));
  EXPECT_EQ(test::values_of(got[0]), (std::vector<double>{0, 0, 3}));
}

TEST(ElementwiseGradient, CastRoundsTheGradientToTheTypeOfTheInput) {
  const auto to_bf16 = [](Inputs in) { return ops::cast(in[0], DType::bf16); };
  const auto to_f32 = [](Inputs in) { return ops::cast(in[0], DType::f32); };
  const Tensor x = random_normal({40}, 1), up = random_normal({40}, 2);
  const Tensor x16 = test::converted(x, DType::bf16), up16 = test::converted(up, DType::bf16);
  const Tensor wide = test::gradients(to_bf16, {x}, {true}, up16)[0];
  ASSERT_EQ(wide.dtype(), DType::f32);
  EXPECT_EQ(test::values_of(wide), test::values_of(up16));
  const Tensor narrow = test::gradients(to_f32, {x16}, {true}, up)[0];
  ASSERT_EQ(narrow.dtype(), DType::bf16);
  EXPECT_EQ(test::values_of(narrow), test::values_of(up16));
}

TEST(ElementwiseGradient, RepeatBatch) {
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::repeat_batch(in[0], 3); }, {random_normal({4, 5}, 1)}));
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::repeat_batch(in[0], 5); }, {random_normal({100, 64}, 1)}));
}

TEST(ElementwiseGradient, Softmax) {
  const auto softmax = [](Inputs in) { return ops::softmax(in[0]); };
  EXPECT_TRUE(test::gradcheck(softmax, {random_normal({5, 7}, 1)}));
  EXPECT_TRUE(test::gradcheck(softmax, {random_normal({100, 41}, 1)}));
}

TEST(ElementwiseGradient, Permute) {
  const auto permute = [](Inputs in) { return ops::permute(in[0], {2, 0, 3, 1}); };
  EXPECT_TRUE(test::gradcheck(permute, {random_normal({2, 3, 4, 5}, 1)}));
  EXPECT_TRUE(test::gradcheck(permute, {random_normal({2, 30, 9, 16}, 1)}));
}

TEST(ElementwiseGradient, ScalesAndSums) {
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::mul_scalar(in[0], -1.5f); }, {random_normal({3, 4}, 1)}));
  const auto through = [](Inputs in) { return ops::sum_all(ops::softmax(in[0])); };
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::sum_all(in[0]); }, {random_normal({3, 4}, 1)}));
  EXPECT_TRUE(test::gradcheck(through, {random_normal({2, 5}, 1)}));
  const auto total = [](Inputs in) {
    const float weights[] = {2.f, -0.5f};
    return ops::weighted_sum(in, weights);
  };
  EXPECT_TRUE(test::gradcheck(total, {random_normal({1}, 1), random_normal({1}, 2)}));
}

TEST(ElementwiseGradient, DoesNotDependOnTheNumberOfThreads) {
  const Tensor x = random_normal({1000, 70}, 1), y = random_normal({70}, 2), up = random_normal({1}, 3);
  const auto fn = [](Inputs in) { return ops::sum_all(ops::softmax(ops::add(in[0], in[1]))); };
  const auto run = [&](int threads) {
    const test::Threads scope(threads);
    return test::gradients(fn, {x, y}, {true, true}, up);
  };
  const auto one = run(1), three = run(3);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(test::values_of(one[i]), test::values_of(three[i]));
}

}  // namespace
}  // namespace visage
