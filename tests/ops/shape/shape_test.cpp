#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tests/support/allclose.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

TEST(Concatenate, PutsPartsInOrder) {
  const Tensor a = random_normal({2, 3, 4}, 1), b = random_normal({2, 1, 4}, 2), c = random_normal({2, 2, 4}, 3);
  const Tensor y = ops::concatenate({a, b, c}, -2);
  ASSERT_EQ(y.size(), (Dims{2, 6, 4}));
  EXPECT_TRUE(test::allclose(ops::narrow(y, 1, 0, 3), a));
  EXPECT_TRUE(test::allclose(ops::narrow(y, 1, 3, 1), b));
  EXPECT_TRUE(test::allclose(ops::narrow(y, 1, 4, 2), c));
  const Tensor windows[] = {ops::narrow(a, 2, 1, 2), ops::narrow(ops::narrow(b, 2, 0, 2), 1, 0, 0),
                            ops::narrow(c, 2, 0, 2)};
  EXPECT_TRUE(test::allclose(ops::narrow(ops::concatenate(windows, 1), 1, 0, 3), windows[0]));
  const Tensor half = test::converted(a, DType::bf16);
  EXPECT_EQ(test::values_of(ops::narrow(ops::concatenate({half, half}, 0), 0, 2, 2)), test::values_of(half));
}

TEST(Concatenate, TakesPartsWithoutRows) {
  const Tensor none = Tensor::empty({0, 3, 2});
  const Tensor y = ops::concatenate({none, none}, 1);
  EXPECT_EQ(y.size(), (Dims{0, 6, 2}));
  EXPECT_EQ(ops::narrow(y, 1, 3, 2).size(), (Dims{0, 2, 2}));
}

TEST(Concatenate, RefusesWhatDoesNotFit) {
  const Tensor a = Tensor::zeros({2, 3});
  EXPECT_THROW((void)ops::concatenate({}, 0), ShapeError);
  EXPECT_THROW((void)ops::concatenate({a}, 2), ShapeError);
  EXPECT_THROW((void)ops::concatenate({a, Tensor::zeros({2, 4})}, 0), ShapeError);
  EXPECT_THROW((void)ops::concatenate({a, Tensor::zeros({2, 3, 1})}, 0), ShapeError);
  EXPECT_THROW((void)ops::concatenate({a, Tensor::zeros({2, 3}, DType::bf16)}, 0), DTypeError);
}

TEST(ShapeGradient, Concatenate) {
  const auto join = [](int axis) { return [axis](Inputs in) { return ops::concatenate(in, axis); }; };
  EXPECT_TRUE(test::gradcheck(join(1), {random_normal({2, 3, 4}, 1), random_normal({2, 1, 4}, 2)}));
  EXPECT_TRUE(test::gradcheck(join(0), {random_normal({30, 64}, 1), random_normal({5, 64}, 2)}));
  EXPECT_TRUE(
      test::gradcheck(join(-1), {random_normal({2, 3}, 1), random_normal({2, 4}, 2), random_normal({2, 1}, 3)}));
  EXPECT_TRUE(test::gradcheck(
      [](Inputs in) {
        return ops::concatenate({in[0], in[0]}, 0);
      },
      {random_normal({2, 3}, 1)}));
}

TEST(ShapeGradient, Reshape) {
  EXPECT_TRUE(test::gradcheck([](Inputs in) { return ops::reshape(in[0], {4, -1}); }, {random_normal({2, 6, 3}, 1)}));
  const auto inside = [](Inputs in) {
    const Tensor y = ops::reshape(ops::softmax(ops::reshape(in[0], {-1, 5})), {3, -1});
    return ops::add(ops::mul_scalar(y, 2.f), y);
  };
  EXPECT_TRUE(test::gradcheck(inside, {random_normal({6, 5}, 1)}));
  EXPECT_TRUE(test::gradcheck(inside, {random_normal({90, 5}, 1)}));
}

TEST(ShapeGradient, NarrowIsZeroOutsideTheWindow) {
  const auto middle = [](Inputs in) { return ops::permute(ops::narrow(in[0], 1, 1, 2), {0, 1, 2}); };
  EXPECT_TRUE(test::gradcheck(middle, {random_normal({2, 4, 3}, 1)}));
  EXPECT_TRUE(test::gradcheck(middle, {random_normal({3, 50, 40}, 1)}));
  const Tensor x = random_normal({3, 2}, 1), up = random_normal({1, 2}, 2);
  const Tensor got = test::gradients([](Inputs in) { return ops::narrow(in[0], 0, 1, 1); }, {x}, {true}, up)[0];
  const auto u = test::values_of(up);
  EXPECT_EQ(test::values_of(got), (std::vector<double>{0, 0, u[0], u[1], 0, 0}));
}

TEST(ShapeGradient, OverlappingWindowsAddUp) {
  const auto windows = [](Inputs in) {
    const Tensor all = ops::mul_scalar(in[0], 2.f);
    return ops::concatenate({ops::narrow(all, 0, 0, 3), ops::narrow(all, 0, 2, 2), ops::softmax(all)}, 0);
  };
  EXPECT_TRUE(test::gradcheck(windows, {random_normal({5, 4}, 1)}));
}

using Tensors = std::vector<Tensor>;

TEST(ShapeOnDevices, ConcatenateAndNarrowAreTheSame) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int axis : {0, 1, 2}) {
      Dims other{2, 6, 8};
      other[axis] = 3;
      const auto join = [=](const Tensors& in) { return Tensors{ops::concatenate({in[0], in[1], in[0]}, axis)}; };
      EXPECT_TRUE(test::same_on_devices(join, {random_normal({2, 6, 8}, 1, dtype), random_normal(other, 2, dtype)},
                                        {.gradient_tolerance = 1e-2, .gradients_of = {0, 1}}));
      const auto window = [=](const Tensors& in) {
        return Tensors{ops::concatenate({ops::narrow(in[0], axis, 1, 1), ops::narrow(in[0], axis, 0, 2)}, axis)};
      };
      EXPECT_TRUE(test::same_on_devices(window, {random_normal({2, 6, 8}, 1, dtype)},
                                        {.gradient_tolerance = 1e-2, .gradients_of = {0}}));
    }
  }
  const auto seen = [](const Tensors& in) { return Tensors{ops::reshape(in[0], {4, -1})}; };
  EXPECT_TRUE(test::same_on_devices(seen, {random_normal({2, 6, 5}, 1)}, {.gradients_of = {0}}));
}

}  // namespace
}  // namespace visage
