#include "ops/gradient/targets.h"

#include "ops/elementwise/elementwise.h"
#include "ops/shape/concatenate.h"
#include "tests/support/devices.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <numeric>

namespace visage {
namespace {

using test::random_normal;
using test::same_on_devices;
using Tensors = std::vector<Tensor>;

/// The axes of x in another order, not copied.
Tensor transposed(const Tensor& x, const Dims& order) {
  Dims size, stride;
  for (int i = 0; i < order.rank; ++i) {
    size.append(x.size(static_cast<int>(order[i])));
    stride.append(x.stride()[static_cast<int>(order[i])]);
  }
  return Tensor::alias(x, size, stride);
}

/// Zeros with the given backward.
Tensor with_backward(const Tensor& x, const Dims& size, DType dtype, autograd::Backward backward) {
  Tensor y = Tensor::zeros(size, dtype, x.device());
  autograd::record("test", {&x, 1}, y, std::move(backward));
  return y;
}

constexpr double tolerance_of(DType dtype) { return dtype == DType::f32 ? 1e-6 : 1e-2; }

struct Layout {
  Dims size, order;  // of the result, and of its axes in the gradient that comes back
};

const Layout kLayouts[] = {{{1}, {0}},
                           {{1027}, {0}},
                           {{7, 3}, {0, 1}},
                           {{35, 41}, {1, 0}},
                           {{2, 35, 3, 10}, {0, 2, 3, 1}},
                           {{3, 4, 5, 2}, {3, 1, 0, 2}},
                           {{4, 16, 24}, {1, 0, 2}},
                           {{3, 0, 5}, {2, 1, 0}},
                           {{33, 1, 9}, {2, 1, 0}}};

void accumulates_like_the_cpu(const Dims& size, const Dims& order, DType from, DType to) {
  Dims before = size;  // of gy: its axes in `order` are those of x
  for (int i = 0; i < order.rank; ++i) before[static_cast<int>(order[i])] = size[i];
  const auto fn = [&](const Tensors& in) {
    return Tensors{with_backward(in[0], before, from, [=](const Tensor& gy, ops::Targets targets) {
      ops::accumulate("test", transposed(gy, order), targets, 0, -1.5f);
    })};
  };
  EXPECT_TRUE(
      same_on_devices(fn, {random_normal(size, 1, to)}, {.gradient_tolerance = tolerance_of(to), .gradients_of = {0}}))
      << size << ' ' << order << ' ' << name_of(from) << " to " << name_of(to);
}

TEST(GradientTargets, AccumulatesAnyLayoutLikeTheCpu) {
  for (const auto& [size, order] : kLayouts)
    for (const DType from : {DType::f32, DType::bf16})
      for (const DType to : {DType::f32, DType::bf16}) accumulates_like_the_cpu(size, order, from, to);
}

TEST(GradientTargets, RepeatsAlongAxesOfStrideZero) {
  const auto fn = [](const Tensors& in) {
    return Tensors{with_backward(in[0], {5}, DType::f32, [](const Tensor& gy, ops::Targets targets) {
      ops::accumulate("test", Tensor::alias(gy, {3, 5, 4}, {0, 1, 0}), targets, 0);
    })};
  };
  EXPECT_TRUE(same_on_devices(fn, {random_normal({3, 5, 4}, 1)}, {.gradients_of = {0}}));
}

TEST(GradientTargets, SumsRowsLikeTheCpu) {
  // One slice, many, one row, none; columns in packets, odd, one; a mean that f32 sums must carry.
  for (const Dims& size : {Dims{2, 3, 8}, Dims{1, 6}, Dims{0, 5}, Dims{7, 13}, Dims{500, 1}, Dims{300, 36}}) {
    for (const DType from : {DType::f32, DType::bf16}) {
      for (const DType to : {DType::f32, DType::bf16}) {
        Dims tail;
        for (int i = 1; i < size.rank; ++i) tail.append(size[i]);
        const auto fn = [&](const Tensors& in) {
          return Tensors{with_backward(in[0], size, from, [](const Tensor& gy, ops::Targets targets) {
            ops::accumulate_rows("test", gy, targets, 0);
          })};
        };
        EXPECT_TRUE(same_on_devices(fn, {random_normal(tail, 1, to)},
                                    {.gradient_tolerance = tolerance_of(to), .gradients_of = {0}}))
            << size << ' ' << name_of(from) << " to " << name_of(to);
      }
    }
  }
}

TEST(GradientTargets, PassesReluGradientsLikeTheCpu) {
  for (const std::int64_t count : {1, 6, 1029}) {
    for (const DType type : {DType::f32, DType::bf16}) {
      for (const DType result : {DType::f32, DType::bf16}) {
        const auto fn = [&](const Tensors& in) { return Tensors{ops::relu_gradient("test", in[0], in[1], result)}; };
        EXPECT_TRUE(same_on_devices(fn, {random_normal({count}, 1, type), random_normal({count}, 2, type)}));
      }
    }
  }
}

TEST(GradientTargets, CopiesToContiguousLikeTheCpu) {
  const auto fn = [](const Tensors& in) {
    const Tensor view = transposed(in[0], {2, 0, 1});
    return Tensors{ops::contiguous_as("test", view, DType::f32), ops::contiguous_as("test", view, DType::bf16),
                   ops::contiguous_as("test", in[0], DType::f32)};
  };
  EXPECT_TRUE(same_on_devices(fn, {random_normal({3, 17, 12}, 1)}));
  EXPECT_TRUE(same_on_devices(fn, {random_normal({3, 17, 12}, 1, DType::bf16)}));
}

TEST(GradientTargets, RefusesTypesWithoutGradients) {
  const Tensor bytes = Tensor::zeros({4}, DType::u8), numbers = Tensor::zeros({4});
  EXPECT_THROW((void)ops::contiguous_as("test", bytes, DType::f32), DTypeError);
  EXPECT_THROW((void)ops::contiguous_as("test", numbers, DType::f16), DTypeError);
  EXPECT_THROW((void)ops::relu_gradient("test", bytes, bytes, DType::f32), DTypeError);
}

TEST(GradientTargets, ALossOnAnyDeviceStartsABackward) {
  test::for_each_device([](Device device) {
    const Tensor x = test::on(random_normal({1}, 1), device);
    autograd::set_requires_grad(x);
    autograd::Tape tape;
    tape.backward(ops::mul_scalar(x, 3.f));
    EXPECT_EQ(test::values_of(autograd::grad(x)), std::vector<double>{3.0});
  });
}

TEST(GradientTargets, OnesFillAnyNumberOfElements) {
  test::for_each_device([](Device device) {
    for (const std::int64_t count : {0, 1, 2, 37})
      EXPECT_EQ(test::values_of(Tensor::ones({count}, device)), std::vector<double>(count, 1.0));
  });
}

}  // namespace
}  // namespace visage
