#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "ops/shape/views.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

Tensor apply(Inputs in) { return ops::linear(in[0], in[1], in.size() > 2 ? in[2] : Tensor{}); }

TEST(LinearGradient, IsTheDerivative) {
  EXPECT_TRUE(test::gradcheck(apply, {random_normal({2, 3, 4}, 1), random_normal({5, 4}, 2), random_normal({5}, 3)}));
  EXPECT_TRUE(test::gradcheck(apply, {random_normal({3, 4}, 1), random_normal({5, 4}, 2)}));
  EXPECT_TRUE(
      test::gradcheck(apply, {random_normal({2, 70, 96}, 1), random_normal({65, 96}, 2), random_normal({65}, 3)}));
  EXPECT_TRUE(test::gradcheck(apply, {random_normal({4}, 1), random_normal({3, 4}, 2)}));
}

TEST(LinearGradient, ReluIsTheOneOfItsResult) {
  const std::vector<Tensor> in = {random_normal({2, 50, 32}, 1), random_normal({24, 32}, 2), random_normal({24}, 3)};
  const auto fused = [](Inputs t) { return ops::linear(t[0], t[1], t[2], {.activation = Activation::relu}); };
  const auto apart = [](Inputs t) { return ops::relu(ops::linear(t[0], t[1], t[2])); };
  const Tensor up = random_normal({2, 50, 24}, 4);
  const auto got = test::gradients(fused, in, {true, true, true}, up);
  const auto want = test::gradients(apart, in, {true, true, true}, up);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(test::allclose(got[i], want[i], {.reduced = 100})) << i;
}

TEST(LinearGradient, OfWindows) {
  const auto columns = [](Inputs in) { return ops::linear(ops::narrow(in[0], 2, 4, 6), in[1], in[2]); };
  const auto tokens = [](Inputs in) {
    return ops::linear(ops::narrow(ops::narrow(in[0], 2, 4, 6), 1, 2, 3), in[1], in[2]);
  };
  const std::vector<Tensor> in = {random_normal({2, 7, 12}, 1), random_normal({5, 6}, 2), random_normal({5}, 3)};
  EXPECT_TRUE(test::gradcheck(columns, in));
  EXPECT_TRUE(test::gradcheck(tokens, in));
  const auto part = [](Inputs t) {  // a projection that is one part of a stacked weight
    return ops::linear(t[0], ops::narrow(t[1], 0, 4, 4), ops::narrow(t[2], 0, 4, 4));
  };
  EXPECT_TRUE(test::gradcheck(part, {random_normal({3, 4}, 1), random_normal({12, 4}, 2), random_normal({12}, 3)}));
}

TEST(LinearGradient, NoRowsLeaveZeros) {
  const auto got = test::gradients(apply, {Tensor::empty({0, 4}), random_normal({3, 4}, 1), random_normal({3}, 2)},
                                   {true, true, true}, Tensor::empty({0, 3}));
  for (int i = 1; i < 3; ++i)
    for (const double value : test::values_of(got[i])) EXPECT_EQ(value, 0.0);
}

TEST(LinearGradient, OfBf16) {
  if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  // Everything is exact in bf16 but the result, so that the f32 gradients are the reference.
  const auto rounded = [](const Dims& size, std::uint64_t seed) {
    return test::converted(test::converted(random_normal(size, seed), DType::bf16), DType::f32);
  };
  const Tensor x = rounded({3, 40, 64}, 1), w = rounded({48, 64}, 2), b = rounded({48}, 3),
               up = rounded({3, 40, 48}, 4);
  const auto want = test::gradients(apply, {x, w, b}, {true, true, true}, up);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto fn = [dtype](Inputs t) { return ops::linear(t[0], t[1], t[2], {.dtype = dtype}); };
    const auto got =
        test::gradients(fn, {test::converted(x, DType::bf16), w, b}, {true, true, true}, test::converted(up, dtype));
    EXPECT_EQ(got[0].dtype(), DType::bf16);
    EXPECT_EQ(got[1].dtype(), DType::f32);
    EXPECT_TRUE(test::allclose(got[0], want[0], {.reduced = 48}));
    EXPECT_TRUE(test::allclose(got[1], want[1], {.reduced = 120}));
    EXPECT_TRUE(test::allclose(got[2], want[2], {.reduced = 120}));
  }
}

TEST(LinearGradient, OfBatchedProducts) {
  const auto fn = [](Inputs in) { return ops::matmul_nt(in[0], in[1]); };
  EXPECT_TRUE(test::gradcheck(fn, {random_normal({2, 3, 4}, 1), random_normal({2, 5, 4}, 2)}));
  EXPECT_TRUE(test::gradcheck(fn, {random_normal({2, 30, 64}, 1), random_normal({2, 70, 64}, 2)}));
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::matmul_nt(in[0], in[0]); }, {random_normal({2, 3, 4}, 1)}));
}

TEST(LinearGradient, IsBitwiseReproducible) {
  const std::vector<Tensor> in = {random_normal({2, 300, 96}, 1), random_normal({65, 96}, 2), random_normal({65}, 3)};
  const Tensor up = random_normal({2, 300, 65}, 4);
  const auto first = test::gradients(apply, in, {true, true, true}, up);
  const auto second = test::gradients(apply, in, {true, true, true}, up);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(first[i]), test::values_of(second[i])) << i;
}

TEST(LinearGradient, RefusesToOverwriteTheResidual) {
  const Tensor x = random_normal({3, 4}, 1), w = random_normal({5, 4}, 2), y = random_normal({3, 5}, 3);
  autograd::set_requires_grad(w);
  {
    const autograd::Tape tape;
    EXPECT_THROW((void)ops::linear(x, w, {}, {.accumulate_into = y}), AutogradError);
  }
  EXPECT_NO_THROW((void)ops::linear(x, w, {}, {.accumulate_into = y}));
  autograd::set_requires_grad(y);
  const autograd::Tape tape;
  const Tensor constant = random_normal({5, 4}, 4);
  EXPECT_THROW((void)ops::linear(x, constant, {}, {.accumulate_into = y}), AutogradError);
}

TEST(LinearGradient, NeverRunsTheReferenceImplementation) {
  const auto name = [](const Tensor& a, const Tensor& b, const Dims& size) {
    return cpu::onednn::implementation(cpu::onednn::BatchedProduct{a, b, Tensor::empty(size), 1.f});
  };
  const auto turned = [](std::int64_t rows, std::int64_t columns) {
    return Tensor::alias(Tensor::empty({rows, columns}), {columns, rows}, {1, columns});
  };
  for (const auto& [rows, in, out] :
       {std::array{6480, 256, 544}, std::array{405, 2048, 512}, std::array{100, 256, 41}}) {
    for (const std::string& chosen : {name(Tensor::empty({rows, out}), turned(out, in), {rows, in}),
                                      name(turned(rows, out), turned(rows, in), {out, in})})
      EXPECT_EQ(chosen.find("ref"), std::string::npos) << chosen;
  }
}

TEST(LinearGradientGolden, EqualsTheOfficialOperator) {
  const test::GoldenFile golden("ops.safetensors");
  std::vector<Tensor> in;
  for (const char* name : {"x", "weight", "bias"}) in.push_back(golden.load(std::string("linear/in/") + name));
  const auto got = test::gradients(apply, in, {true, true, true}, golden.load("linear/up/y"));
  EXPECT_TRUE(golden.matches("linear/grad/x", got[0]));
  EXPECT_TRUE(golden.matches("linear/grad/weight", got[1]));
  EXPECT_TRUE(golden.matches("linear/grad/bias", got[2]));
}

}  // namespace
}  // namespace visage
