#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/threads.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

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

using Tensors = std::vector<Tensor>;

void same(const std::function<Tensor(const Tensors&)>& fn, const Tensors& inputs) {
  std::vector<std::size_t> all(inputs.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  EXPECT_TRUE(test::same_on_devices([&](const Tensors& in) { return Tensors{fn(in)}; }, inputs, {.gradients_of = all}))
      << "x " << inputs[0].size();
}

TEST(ElementwiseOnDevices, MapsAreTheSame) {
  const auto add = [](const Tensors& in) { return ops::add(in[0], in[1]); };
  same(add, {random_normal({2, 3, 8}, 1), random_normal({3, 8}, 2)});
  same(add, {random_normal({4, 35}, 1), random_normal({35}, 2)});
  same(add, {random_normal({1027}, 1), random_normal({1027}, 2)});
  same(add, {random_normal({0, 4}, 1), random_normal({4}, 2)});
  for (const std::int64_t count : {0, 1, 1030}) {
    same([](const Tensors& in) { return ops::relu(in[0]); }, {random_normal({count}, 1)});
    same([](const Tensors& in) { return ops::mul_scalar(in[0], -0.3f); }, {random_normal({count}, 1)});
    same([](const Tensors& in) { return ops::sum_all(in[0]); }, {random_normal({count}, 1)});
  }
  const float values[] = {-1.f, -0.f, 0.f, 2.f, NAN};
  EXPECT_TRUE(
      test::same_on_devices([](const Tensors& in) { return Tensors{ops::relu(in[0])}; }, {Tensor::from({5}, values)}));
}

TEST(ElementwiseOnDevices, CopiesAreTheSame) {
  same([](const Tensors& in) { return ops::repeat_batch(in[0], 3); }, {random_normal({5, 12}, 1)});
  same([](const Tensors& in) { return ops::repeat_batch(in[0], 2); }, {random_normal({3, 7}, 1)});
  same([](const Tensors& in) { return ops::permute(in[0], {0, 2, 1}); }, {random_normal({2, 37, 40}, 1)});
  same([](const Tensors& in) { return ops::permute(in[0], {2, 0, 3, 1}); }, {random_normal({2, 3, 4, 5}, 1)});
  for (const std::int64_t count : {3, 1032}) {
    same([](const Tensors& in) { return ops::cast(in[0], DType::bf16); }, {random_normal({count}, 1)});
    same([](const Tensors& in) { return ops::cast(in[0], DType::f32); }, {random_normal({count}, 1, DType::bf16)});
  }
}

TEST(ElementwiseOnDevices, SoftmaxIsTheSame) {
  const auto softmax = [](const Tensors& in) { return ops::softmax(in[0]); };
  for (const Dims& size : {Dims{9, 41}, Dims{1, 1}, Dims{0, 3}, Dims{3, 64}, Dims{2, 1500}})
    same(softmax, {random_normal(size, 1, DType::f32, 100, 3)});
  const float rows[] = {1000.f, 999.f, -1000.f, -INFINITY, -INFINITY, -INFINITY, NAN, 1.f, 2.f};
  EXPECT_TRUE(
      test::same_on_devices([&](const Tensors& in) { return Tensors{softmax(in)}; }, {Tensor::from({3, 3}, rows)}));
}

TEST(ElementwiseOnDevices, SumsAreTheSame) {
  // Rounded to f32 after every term, the small ones would be lost.
  const Tensor large = random_normal({5000}, 1, DType::f32, 1e5, 1);
  EXPECT_TRUE(test::same_on_devices([](const Tensors& in) { return Tensors{ops::sum_all(in[0])}; }, {large},
                                    {.output_tolerance = 1e-7, .gradients_of = {0}}));
  Tensors terms;
  std::vector<float> weights;
  for (int t = 0; t < 70; ++t) {  // more than one launch takes
    terms.push_back(random_normal({3}, 1 + static_cast<std::uint64_t>(t)));
    weights.push_back(0.1f * static_cast<float>(t) - 2.f);
  }
  same([&](const Tensors& in) { return ops::weighted_sum(in, weights); }, terms);
}

}  // namespace
}  // namespace visage
