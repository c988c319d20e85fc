#include "ops/autocast.h"
#include "ops/linear/linear.h"
#include "ops/shape/views.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Tensors = std::vector<Tensor>;
using test::random_normal;

auto linear_with(const ops::LinearOptions& options) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor{}, options)};
  };
}

TEST(LinearOnDevices, AgreesWithTheCpu) {
  for (const auto& [rows, in, out] : {std::array{7, 13, 5}, std::array{1, 8, 16}, std::array{33, 1, 1}}) {
    const Tensors inputs = {random_normal({2, rows, in}, 1), random_normal({out, in}, 2), random_normal({out}, 3)};
    for (const Activation activation : {Activation::none, Activation::relu}) {
      EXPECT_TRUE(test::same_on_devices(linear_with({.activation = activation}), inputs, {.gradients_of = {0, 1, 2}}));
    }
    EXPECT_TRUE(test::same_on_devices(linear_with({}), {inputs[0], inputs[1]}, {.gradients_of = {0, 1}}));
  }
}

TEST(LinearOnDevices, OfBf16) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  const Tensors in = {random_normal({3, 10, 24}, 1, DType::bf16), random_normal({9, 24}, 2), random_normal({9}, 3)};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    EXPECT_TRUE(
        test::same_on_devices(linear_with({.activation = Activation::relu, .dtype = dtype}), in,
                              {.output_tolerance = 1e-2, .gradient_tolerance = 1e-2, .gradients_of = {0, 1, 2}}));
  }
}

TEST(LinearOnDevices, UnderAutocast) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  const auto fn = [](const Tensors& in) -> Tensors {
    const ops::Autocast scope(DType::bf16);
    return {ops::linear(in[0], in[1], in[2])};
  };
  EXPECT_TRUE(test::same_on_devices(fn,
                                    {random_normal({2, 9, 24}, 1), random_normal({7, 24}, 2), random_normal({7}, 3)},
                                    {.output_tolerance = 1e-2, .gradient_tolerance = 1e-2, .gradients_of = {0, 1, 2}}));
}

TEST(LinearOnDevices, OfWindows) {
  const auto columns = [](const Tensors& in) -> Tensors {
    return {ops::linear(ops::narrow(in[0], 2, 4, 6), in[1], in[2])};
  };
  const auto tokens = [](const Tensors& in) -> Tensors {
    return {ops::linear(ops::narrow(ops::narrow(in[0], 2, 4, 6), 1, 2, 3), in[1], in[2])};
  };
  const auto part = [](const Tensors& in) -> Tensors {
    return {ops::linear(ops::narrow(in[0], 2, 0, 6), ops::narrow(in[1], 0, 1, 3), ops::narrow(in[2], 0, 1, 3))};
  };
  const Tensors in = {random_normal({2, 7, 12}, 1), random_normal({5, 6}, 2), random_normal({5}, 3)};
  EXPECT_TRUE(test::same_on_devices(columns, in, {.gradients_of = {0, 1, 2}}));
  EXPECT_TRUE(test::same_on_devices(tokens, in, {.gradients_of = {0, 1, 2}}));
  EXPECT_TRUE(test::same_on_devices(part, in, {.gradients_of = {0, 1, 2}}));
}

TEST(LinearOnDevices, AddsOntoTheResidual) {
  const auto add = [](const Tensors& in) -> Tensors {
    const Tensor wide = ops::linear(in[2], in[3], {});  // [2, 7, 8], of its own: the devices share the inputs
    (void)ops::linear(in[0], in[1], {},
                      {.activation = Activation::relu, .accumulate_into = ops::narrow(wide, 2, 1, 5)});
    return {wide};
  };
  EXPECT_TRUE(test::same_on_devices(add, {random_normal({2, 7, 12}, 1), random_normal({5, 12}, 2),
                                          random_normal({2, 7, 3}, 3), random_normal({8, 3}, 4)}));
}

TEST(LinearOnDevices, RepeatsOneRow) {
  const auto repeat = [](const Tensors& in) -> Tensors {
    return {ops::linear(Tensor::alias(in[0], {6, 12}, {0, 1}), in[1], {})};
  };
  EXPECT_TRUE(test::same_on_devices(repeat, {random_normal({12}, 1), random_normal({5, 12}, 2)}));
}

// The GPU keeps a rounded copy of a weight until the weight is written.
TEST(LinearOnDevices, SeesWeightsThatWereOverwritten) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  const auto twice = [](const Tensors& in) -> Tensors {
    const Tensor weight = ops::linear(in[1], in[2], {});
    const Tensor before = ops::linear(in[0], weight, {});
    (void)ops::linear(in[1], in[2], {}, {.accumulate_into = weight});
    weight.storage()->bump_version();
    return {before, ops::linear(in[0], weight, {})};
  };
  EXPECT_TRUE(test::same_on_devices(
      twice, {random_normal({4, 8}, 1, DType::bf16), random_normal({3, 6}, 2), random_normal({8, 6}, 3)},
      {.output_tolerance = 1e-2}));
}

TEST(LinearOnDevices, NoRows) {
  EXPECT_TRUE(test::same_on_devices(linear_with({}),
                                    {Tensor::empty({0, 4}), random_normal({3, 4}, 1), random_normal({3}, 2)},
                                    {.gradients_of = {0, 1, 2}}));
}

TEST(LinearOnDevices, MultipliesBatches) {
  const auto multiply = [](const Tensors& in) -> Tensors { return {ops::matmul_nt(in[0], in[1])}; };
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) continue;
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-2;
    EXPECT_TRUE(test::same_on_devices(
        multiply, {random_normal({3, 7, 20}, 1, dtype), random_normal({3, 11, 20}, 2, dtype)},
        {.output_tolerance = tolerance, .gradient_tolerance = tolerance, .gradients_of = {0, 1}}));
  }
  EXPECT_TRUE(test::same_on_devices(multiply, {random_normal({2, 1, 1}, 1), random_normal({2, 1, 1}, 2)},
                                    {.gradients_of = {0, 1}}));
}

}  // namespace
}  // namespace visage
