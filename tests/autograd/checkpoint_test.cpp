#include "autograd/checkpoint.h"

#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "ops/norm/layer_norm.h"
#include "tests/support/gradcheck.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using Segment = std::function<Tensor(const Tensor&)>;
using test::random_normal;

enum class Mode { plain, recompute };

Tensor run(Mode mode, const Segment& segment, const Tensor& x) {
  return mode == Mode::plain ? segment(x) : autograd::checkpoint(segment, x);
}

/// A post-norm feed-forward layer: weights in[1..5], used twice by the stack below.
Segment layer(Inputs in) {
  const std::vector<Tensor> w(in.begin(), in.end());
  return [w](const Tensor& x) {
    const Tensor hidden = ops::linear(x, w[1], w[2], {.activation = Activation::relu});
    return ops::add_layer_norm(x, ops::linear(hidden, w[3], {}), w[4], w[5]);
  };
}

/// Every hard case at once: a segment used twice with shared weights, x used after the segment too, a captured
/// intermediate, and a segment inside a segment.
Tensor stack(Mode mode, Inputs in) {
  const Tensor scaled = ops::mul_scalar(in[0], 0.5f);
  const Tensor captured = ops::softmax(in[0]);
  const Segment one = layer(in);
  const Segment two = [=](const Tensor& x) { return run(mode, one, ops::add(x, captured)); };
  const Tensor a = run(mode, one, scaled);
  const Tensor b = run(mode, two, a);
  return ops::add(ops::add(b, a), ops::add(scaled, captured));
}

std::vector<Tensor> weights() {
  return {random_normal({6, 16}, 1),
          random_normal({24, 16}, 2, DType::f32, 0, 0.3),
          random_normal({24}, 3),
          random_normal({16, 24}, 4, DType::f32, 0, 0.3),
          random_normal({16}, 5, DType::f32, 1, 0.2),
          random_normal({16}, 6)};
}

TEST(Checkpoint, GradientsAreThoseOfThePlainRunBitForBit) {
  const std::vector<Tensor> in = weights();
  const Tensor up = random_normal({6, 16}, 7);
  const auto with = [&](Mode mode, const std::vector<bool>& wanted) {
    return test::gradients([mode](Inputs t) { return stack(mode, t); }, in, wanted, up);
  };
  for (const std::vector<bool>& wanted : {std::vector<bool>(6, true),
                                          {true, false, false, false, false, false},
                                          {false, true, false, true, false, true}}) {
    const auto want = with(Mode::plain, wanted), got = with(Mode::recompute, wanted);
    for (std::size_t i = 0; i < in.size(); ++i) {
      ASSERT_EQ(static_cast<bool>(want[i]), wanted[i]);
      ASSERT_EQ(static_cast<bool>(got[i]), wanted[i]);
      if (wanted[i]) {
        EXPECT_EQ(test::values_of(got[i]), test::values_of(want[i])) << i;
      }
    }
  }
}

TEST(Checkpoint, SecondBackwardAdds) {
  const std::vector<Tensor> in = weights();
  for (const Tensor& t : in) autograd::set_requires_grad(t);
  const Tensor up = random_normal({6, 16}, 7);
  std::vector<double> once;
  for (int pass = 0; pass < 2; ++pass) {
    autograd::Tape tape;
    tape.backward(autograd::checkpoint(layer(in), in[0]), up);
    if (pass == 0) once = test::values_of(autograd::grad(in[1]));
  }
  const auto twice = test::values_of(autograd::grad(in[1]));
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(twice[i], 2 * once[i]);
}

TEST(Checkpoint, KeepsNothingOfTheSegment) {
  const std::vector<Tensor> in = weights();
  autograd::set_requires_grad(in[1]);
  autograd::Tape tape;
  std::weak_ptr<Storage> inside;
  int runs = 0;
  const Tensor y = autograd::checkpoint(
      [&](const Tensor& x) {
        const Tensor hidden = ops::linear(x, in[1], in[2]);
        inside = hidden.storage();
        ++runs;
        return ops::softmax(hidden);
      },
      in[0]);
  EXPECT_EQ(tape.size(), 1u);
  EXPECT_TRUE(inside.expired());
  EXPECT_EQ(runs, 1);
  tape.backward(ops::sum_all(y));
  EXPECT_EQ(runs, 2);
}

TEST(Checkpoint, WithoutATapeOrAGradientItIsTheFunction) {
  const Tensor x = random_normal({3}, 1);
  const Segment twice = [](const Tensor& t) { return ops::mul_scalar(t, 2.f); };
  EXPECT_EQ(test::values_of(autograd::checkpoint(twice, x)), test::values_of(twice(x)));
  autograd::Tape tape;
  const Tensor y = autograd::checkpoint(twice, x);
  EXPECT_EQ(test::values_of(y), test::values_of(twice(x)));
  EXPECT_EQ(y.autograd_meta(), nullptr);
  EXPECT_EQ(tape.size(), 0u);
}

TEST(Checkpoint, RefusesWhatItCannotDo) {
  const Tensor x = random_normal({1, 2, 2, 3}, 1);
  autograd::set_requires_grad(x);
  autograd::Tape tape;
  EXPECT_THROW((void)autograd::checkpoint([](const Tensor& t) { return t; }, x), AutogradError);
  EXPECT_THROW((void)autograd::checkpoint([](const Tensor&) -> Tensor { throw InputError("inside"); }, x), InputError);
  // The tape works on after an exception.
  tape.backward(ops::sum_all(autograd::checkpoint([](const Tensor& t) { return ops::mul_scalar(t, 3.f); }, x)));
  for (const double value : test::values_of(autograd::grad(x))) EXPECT_EQ(value, 3.0);
}

}  // namespace
}  // namespace visage
