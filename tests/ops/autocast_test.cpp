#include "ops/autocast.h"

#include "ops/conv/conv2d.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

class Autocast : public testing::Test {
 protected:
  void SetUp() override {
    if (!cpu::onednn::has_fast_bf16()) GTEST_SKIP() << "no bf16 instructions";
  }
};

// f32 numbers that bf16 holds exactly.
Tensor representable(const Dims& size, std::uint64_t seed) {
  return test::converted(random_normal(size, seed, DType::bf16), DType::f32);
}

Tensor convolve(Inputs in) { return ops::conv2d(in[0], in[1], in[2], {.stride = 2, .padding = 1}); }
Tensor project(Inputs in) { return ops::linear(in[0], in[1], in[2]); }

template <class F>
auto rounded(F op) {
  return [op](Inputs in) {
    const ops::Autocast scope(DType::bf16);
    return op(in);
  };
}

double distance(const Tensor& got, const Tensor& want) {
  const std::vector<double> a = test::values_of(got), b = test::values_of(want);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

struct Case {
  Tensor (*op)(Inputs);
  std::vector<Tensor> inputs;
  Tensor up;
};

std::vector<Case> cases(Tensor (*numbers)(const Dims&, std::uint64_t)) {
  return {
      {convolve, {numbers({2, 9, 12, 32}, 1), numbers({48, 3, 3, 32}, 2), numbers({48}, 3)}, numbers({2, 5, 6, 48}, 4)},
      {project, {numbers({2, 50, 64}, 1), numbers({96, 64}, 2), numbers({96}, 3)}, numbers({2, 50, 96}, 4)}};
}

TEST_F(Autocast, RoundsTheFactorsAndNothingElse) {
  for (const Case& c : cases(representable)) {
    const Tensor want = c.op(c.inputs), got = rounded(c.op)(c.inputs);
    EXPECT_EQ(got.dtype(), DType::f32);
    EXPECT_TRUE(test::allclose(got, want, {.reduced = 9 * 32}));
    const auto gradients = test::gradients(c.op, c.inputs, {true, true, true}, c.up);
    const auto mixed = test::gradients(rounded(c.op), c.inputs, {true, true, true}, c.up);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(mixed[i].dtype(), DType::f32) << i;
      EXPECT_TRUE(test::allclose(mixed[i], gradients[i], {.reduced = 9 * 48})) << i;
    }
  }
}

TEST_F(Autocast, GradientsAreWithinTheRoundingOfTheirFactors) {
  const auto any = [](const Dims& size, std::uint64_t seed) { return random_normal(size, seed); };
  for (const Case& c : cases(any)) {
    const auto want = test::gradients(c.op, c.inputs, {true, true, true}, c.up);
    const auto got = test::gradients(rounded(c.op), c.inputs, {true, true, true}, c.up);
    // Two factors of relative error at most 2^-9 each; sums of independent errors grow no faster than the sums.
    for (int i = 0; i < 3; ++i) EXPECT_LT(distance(got[i], want[i]), std::ldexp(1, -8)) << i;
    EXPECT_GT(distance(got[1], want[1]), 1e-5);  // it did round
  }
}

TEST_F(Autocast, ScopesNest) {
  EXPECT_EQ(ops::autocast_dtype(), DType::f32);
  {
    const ops::Autocast outer(DType::bf16);
    EXPECT_EQ(ops::autocast_dtype(), DType::bf16);
    {
      const ops::Autocast inner(DType::f32);
      EXPECT_EQ(ops::autocast_dtype(), DType::f32);
    }
    EXPECT_EQ(ops::autocast_dtype(), DType::bf16);
  }
  EXPECT_EQ(ops::autocast_dtype(), DType::f32);
  EXPECT_THROW(ops::Autocast(DType::f16), DTypeError);
}

}  // namespace
}  // namespace visage
