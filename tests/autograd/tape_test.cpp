#include "autograd/tape.h"

#include "tests/support/gradcheck.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace visage::autograd {
namespace {

/// a * b element by element, with the gradients scaled by `wrong` so that tests can plant an error.
Tensor multiply(const Tensor& a, const Tensor& b, float wrong = 1) {
  Tensor y = Tensor::empty(a.size());
  for (std::int64_t i = 0; i < a.numel(); ++i) y.data<float>()[i] = a.data<float>()[i] * b.data<float>()[i];
  const Tensor inputs[] = {a, b};
  record("multiply", inputs, y, [=](const Tensor& gy, std::span<const GradTarget> targets) {
    for (int which = 0; which < 2; ++which) {
      const GradTarget& target = targets[which];
      if (!target.needed()) continue;
      const Tensor other = which == 0 ? b : a;
      const Tensor to = target.buffer();
      for (std::int64_t i = 0; i < gy.numel(); ++i) {
        const float contribution = wrong * gy.data<float>()[i] * other.data<float>()[i];
        const float old = target.beta() == 0 ? 0 : target.beta() * to.data<float>()[i];
        to.data<float>()[i] = old + contribution;
      }
      target.done();
    }
  });
  return y;
}

Tensor sum(const Tensor& x) {
  Tensor y = Tensor::zeros({});
  for (std::int64_t i = 0; i < x.numel(); ++i) *y.data<float>() += x.data<float>()[i];
  const Tensor inputs[] = {x};
  record("sum", inputs, y, [=](const Tensor& gy, std::span<const GradTarget> targets) {
    const Tensor to = targets[0].buffer();
    for (std::int64_t i = 0; i < to.numel(); ++i) {
      const float old = targets[0].beta() == 0 ? 0 : to.data<float>()[i];
      to.data<float>()[i] = old + *gy.data<float>();
    }
    targets[0].done();
  });
  return y;
}

Tensor vector_of(std::vector<double> values) {
  return test::tensor_of({static_cast<std::int64_t>(values.size())}, values);
}
Tensor leaf(std::vector<double> values) {
  const Tensor tensor = vector_of(std::move(values));
  set_requires_grad(tensor);
  return tensor;
}
std::vector<double> grad_of(const Tensor& tensor) { return test::values_of(grad(tensor)); }

using Values = std::vector<double>;

TEST(Tape, GradientsFollowTheChainRule) {
  const Tensor a = leaf({1, 2}), b = leaf({3, 5});
  Tape tape;
  tape.backward(sum(multiply(multiply(a, b), b)));
  EXPECT_EQ(grad_of(a), (Values{9, 25}));  // b^2
  EXPECT_EQ(grad_of(b), (Values{6, 20}));  // 2 a b
  EXPECT_EQ(tape.size(), 0u);
}

TEST(Tape, ATensorUsedTwiceAccumulates) {
  const Tensor a = leaf({3});
  Tape tape;
  tape.backward(sum(multiply(a, a)));
  EXPECT_EQ(grad_of(a), Values{6});
}

TEST(Tape, NothingIsRecordedWithoutOne) {
  const Tensor a = leaf({3});
  EXPECT_EQ(multiply(a, a).autograd_meta(), nullptr);
  EXPECT_FALSE(needs_grad(std::vector<Tensor>{a}));
}

TEST(Tape, ConstantsAreNotRecorded) {
  const Tensor a = vector_of({1}), b = vector_of({2});
  Tape tape;
  EXPECT_EQ(multiply(a, b).autograd_meta(), nullptr);
  EXPECT_EQ(tape.size(), 0u);
  EXPECT_THROW(tape.backward(sum(a)), AutogradError);
}

TEST(Tape, NoGradSuspends) {
  const Tensor a = leaf({3});
  Tape tape;
  {
    const NoGrad off;
    EXPECT_EQ(multiply(a, a).autograd_meta(), nullptr);
  }
  EXPECT_NE(multiply(a, a).autograd_meta(), nullptr);
}

TEST(Tape, SecondBackwardAddsUntilZeroGrad) {
  const Tensor a = leaf({3}), b = vector_of({5});
  const auto step = [&] {
    Tape tape;
    tape.backward(sum(multiply(a, b)));
  };
  step();
  const void* const buffer = grad(a).view().data;
  step();
  EXPECT_EQ(grad_of(a), Values{10});
  zero_grad(a);
  EXPECT_FALSE(grad(a));
  *static_cast<float*>(const_cast<void*>(buffer)) = std::nanf("");  // must be overwritten, not read
  step();
  EXPECT_EQ(grad_of(a), Values{5});
  EXPECT_EQ(grad(a).view().data, buffer);
}

TEST(Tape, ALossOfManyElementsNeedsASeed) {
  const Tensor a = leaf({1, 2}), b = vector_of({3, 4});
  {
    Tape tape;
    const Tensor y = multiply(a, b);
    EXPECT_THROW(tape.backward(y), AutogradError);
  }
  Tape tape;
  const Tensor y = multiply(a, b);
  EXPECT_THROW(tape.backward(y, vector_of({1, 2, 3})), ShapeError);
  EXPECT_THROW(tape.backward(y, Tensor::alias(vector_of({10, 0, 100}), {2}, {2})), ShapeError);
  tape.backward(y, vector_of({10, 100}));
  EXPECT_EQ(grad_of(a), (Values{30, 400}));
}

TEST(Tape, UnusedBranchesCostNothing) {
  const Tensor a = leaf({2}), unused = leaf({7});
  Tape tape;
  static_cast<void>(multiply(unused, unused));
  tape.backward(sum(multiply(a, a)));
  EXPECT_FALSE(grad(unused));
  EXPECT_EQ(grad_of(a), Values{4});
}

TEST(Tape, TensorsOfAFinishedTapeArePoisoned) {
  const Tensor a = leaf({2});
  Tensor y;
  {
    Tape tape;
    y = multiply(a, a);
    tape.backward(sum(y));
  }
  EXPECT_EQ(test::values_of(y), Values{4});
  Tape tape;
  EXPECT_THROW(static_cast<void>(multiply(y, y)), AutogradError);
  EXPECT_NO_THROW(static_cast<void>(multiply(Tensor::alias(y, y.size(), y.stride()), a)));
}

TEST(Tape, NotDifferentiableRefusesOnlyWhenAGradientIsWanted) {
  const Tensor a = leaf({1}), constant = vector_of({1});
  EXPECT_NO_THROW(not_differentiable("op", {a}));
  Tape tape;
  EXPECT_NO_THROW(not_differentiable("op", {constant, Tensor{}}));
  EXPECT_THROW(not_differentiable("op", {constant, a}), AutogradError);
  const NoGrad off;
  EXPECT_NO_THROW(not_differentiable("op", {a}));
}

TEST(Tape, AChainOf200000NodesNeedsNoRecursion) {
  const Tensor a = leaf({1}), one = vector_of({1});
  Tape tape;
  Tensor y = a;
  for (int i = 0; i < 200000; ++i) y = multiply(y, one);
  EXPECT_EQ(tape.size(), 200000u);
  tape.backward(sum(y));
  EXPECT_EQ(grad_of(a), Values{1});
}

TEST(Tape, AChainThatIsNeverWalkedIsFreedWithoutRecursion) {
  const Tensor a = leaf({1}), one = vector_of({1});
  Tape tape;
  Tensor y = a;
  for (int i = 0; i < 200000; ++i) y = multiply(y, one);
  y = {};
  EXPECT_EQ(tape.size(), 200000u);
}

TEST(Tape, BackwardFreesWhatItSaved) {
  const Tensor a = leaf({1});
  Tensor saved = vector_of({5});
  const std::weak_ptr<Storage> storage = saved.storage();
  Tape tape;
  const Tensor loss = sum(multiply(a, saved));
  saved = {};
  EXPECT_FALSE(storage.expired());
  tape.backward(loss);
  EXPECT_TRUE(storage.expired());
}

TEST(Tape, AnInnerTapeRecordsForItself) {
  const Tensor a = leaf({3}), b = leaf({5});
  Tape outer;
  const Tensor y = multiply(a, a);
  {
    Tape inner;
    inner.backward(sum(multiply(b, b)));
    EXPECT_EQ(inner.size(), 0u);
  }
  EXPECT_EQ(outer.size(), 1u);
  EXPECT_EQ(grad_of(b), Values{10});
  outer.backward(sum(multiply(y, b)));
  EXPECT_EQ(grad_of(a), Values{30});      // 2 a b
  EXPECT_EQ(grad_of(b), Values{10 + 9});  // the inner one, then a^2
}

TEST(Tape, BackwardDoesNotRecordItself) {
  const Tensor a = leaf({3});
  Tape tape;
  Tensor y = Tensor::empty({1});
  const Tensor inputs[] = {a};
  record("probe", inputs, y,
         [&](const Tensor&, std::span<const GradTarget>) { EXPECT_EQ(multiply(a, a).autograd_meta(), nullptr); });
  tape.backward(y);
}

TEST(Tape, AnExceptionInBackwardLeavesTheThreadUsable) {
  const Tensor a = leaf({3});
  {
    Tape tape;
    Tensor y = Tensor::empty({1});
    const Tensor inputs[] = {a};
    record("bad", inputs, y, [](const Tensor&, std::span<const GradTarget>) { fail("bad: planted"); });
    EXPECT_THROW(tape.backward(y), Error);
  }
  Tape tape;
  tape.backward(sum(multiply(a, a)));
  EXPECT_EQ(grad_of(a), Values{6});
}

TEST(Gradcheck, AcceptsTheDerivativeAndRefusesOneThatIsOnePercentOff) {
  for (const Dims& size : {Dims{3, 4}, Dims{60, 70}}) {
    const std::vector<Tensor> inputs = {test::random_normal(size, 1), test::random_normal(size, 2)};
    EXPECT_TRUE(test::gradcheck([](std::span<const Tensor> t) { return multiply(t[0], t[1]); }, inputs));
    EXPECT_FALSE(test::gradcheck([](std::span<const Tensor> t) { return multiply(t[0], t[1], 1.01f); }, inputs));
    EXPECT_FALSE(test::gradcheck([](std::span<const Tensor> t) { return multiply(t[0], t[1], 0.f); }, inputs));
  }
}

TEST(Gradcheck, RefusesABackwardThatOverwritesInsteadOfAdding) {
  const auto overwriting = [](std::span<const Tensor> t) {
    Tensor y = Tensor::from(t[0].size(), t[0].data<float>());
    record("copy", t, y, [](const Tensor& gy, std::span<const GradTarget> targets) {
      std::copy_n(gy.data<float>(), gy.numel(), targets[0].buffer().data<float>());
      targets[0].done();
    });
    return y;
  };
  EXPECT_FALSE(test::gradcheck(overwriting, {test::random_normal({5}, 1)}));
}

}  // namespace
}  // namespace visage::autograd
