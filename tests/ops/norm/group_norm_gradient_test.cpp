#include "autograd/tape.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/group_norm.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/threads.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

using Inputs = std::span<const Tensor>;
using test::random_normal;

auto normalise(const ops::GroupNormOptions& options) {
  return [=](Inputs in) { return ops::group_norm(in[0], in[1], in[2], options); };
}

std::vector<Tensor> inputs(const Dims& size) {
  const Dims per_channel{size[-1]};
  return {random_normal(size, 1), random_normal(per_channel, 2, DType::f32, 1, 0.5), random_normal(per_channel, 3)};
}

TEST(GroupNormGradient, IsTheDerivative) {
  EXPECT_TRUE(test::gradcheck(normalise({.groups = 2}), inputs({2, 3, 2, 6})));
  EXPECT_TRUE(test::gradcheck(normalise({.groups = 1}), inputs({1, 5, 4})));
  EXPECT_TRUE(test::gradcheck(normalise({}), inputs({2, 23, 17, 64})));
}

TEST(GroupNormGradient, ReluIsTheOneOfItsResult) {
  const auto apart = [](Inputs t) { return ops::relu(ops::group_norm(t[0], t[1], t[2])); };
  const Tensor up = random_normal({2, 9, 14, 64}, 4);
  const std::vector<Tensor> in = inputs({2, 9, 14, 64});
  const auto got = test::gradients(normalise({.activation = Activation::relu}), in, {true, true, true}, up);
  const auto want = test::gradients(apart, in, {true, true, true}, up);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(got[i]), test::values_of(want[i])) << i;
}

TEST(GroupNormGradient, OfWindows) {
  const auto level = [](Inputs in) {
    const Tensor tokens = ops::narrow(ops::narrow(in[0], 1, 2, 5), 2, 4, 4);
    return ops::group_norm(tokens, in[1], in[2], {.groups = 2});
  };
  EXPECT_TRUE(test::gradcheck(level, {random_normal({2, 9, 10}, 1), random_normal({4}, 2), random_normal({4}, 3)}));
}

TEST(GroupNormGradient, ALargeMeanDoesNotCancel) {
  std::vector<Tensor> near = inputs({1, 20, 30, 32});
  std::vector<double> shifted = test::values_of(near[0]);
  for (double& value : shifted) value += 1024;
  std::vector<Tensor> far = near;
  far[0] = test::tensor_of(near[0].size(), shifted);  // rounded to 2^-13
  shifted = test::values_of(far[0]);
  for (double& value : shifted) value -= 1024;
  near[0] = test::tensor_of(near[0].size(), shifted);
  const Tensor up = random_normal({1, 20, 30, 32}, 4);
  const auto want = test::gradients(normalise({.groups = 8}), near, {true, true, true}, up);
  const auto got = test::gradients(normalise({.groups = 8}), far, {true, true, true}, up);
  // The mean itself is rounded to 2^-14.
  EXPECT_TRUE(test::allclose(got[0], want[0], {.reduced = 600, .absolute = 2e-4}));
  EXPECT_TRUE(test::allclose(got[1], want[1], {.reduced = 600, .absolute = 2e-2}));
  EXPECT_TRUE(test::allclose(got[2], want[2], {.reduced = 600}));
}

TEST(GroupNormGradient, OfBf16) {
  const std::vector<Tensor> in = inputs({2, 9, 14, 64});
  const Tensor x = test::converted(in[0], DType::bf16), up = test::converted(random_normal(x.size(), 4), DType::bf16);
  const auto want = test::gradients(normalise({}), {test::converted(x, DType::f32), in[1], in[2]}, {true, true, true},
                                    test::converted(up, DType::f32));
  const auto got = test::gradients(normalise({}), {x, in[1], in[2]}, {true, true, true}, up);
  ASSERT_EQ(got[0].dtype(), DType::bf16);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(test::allclose(got[i], want[i], {.reduced = 252})) << i;
}

TEST(GroupNormGradient, DoesNotDependOnTheNumberOfThreads) {
  const std::vector<Tensor> in = inputs({2, 31, 29, 64});
  const Tensor up = random_normal({2, 31, 29, 64}, 4);
  const auto run = [&](int threads) {
    const test::Threads scope(threads);
    return test::gradients(normalise({.activation = Activation::relu}), in, {true, true, true}, up);
  };
  const auto one = run(1), three = run(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(one[i]), test::values_of(three[i])) << i;
}

TEST(GroupNormGradient, RefusesWhatItCannotDo) {
  const std::vector<Tensor> in = inputs({1, 4, 4, 32});
  const Tensor out = Tensor::zeros({1, 4, 4, 32});
  autograd::set_requires_grad(in[1]);
  const autograd::Tape tape;
  EXPECT_THROW((void)ops::group_norm(in[0], in[1], in[2], {.out = out}), AutogradError);
  EXPECT_THROW((void)ops::group_norm_scale_shift(in[0], in[1], in[2]), AutogradError);
  const Tensor per_image = Tensor::zeros({1, 32}), constant = Tensor::zeros({1, 32});
  autograd::set_requires_grad(per_image);
  EXPECT_THROW((void)ops::channel_affine(in[0], per_image, constant), AutogradError);
  autograd::set_requires_grad(out);
  EXPECT_THROW((void)ops::channel_affine(in[0], in[2], in[2], {.out = out}), AutogradError);
}

TEST(ChannelAffineGradient, IsTheDerivative) {
  const auto shared = [](Inputs in) { return ops::channel_affine(in[0], in[1], in[2]); };
  const test::GradcheckOptions only_x{.with_respect_to = {0}};
  EXPECT_TRUE(test::gradcheck(shared, {random_normal({2, 3, 4, 5}, 1), random_normal({5}, 2), random_normal({5}, 3)}));
  EXPECT_TRUE(test::gradcheck(
      shared, {random_normal({2, 3, 4, 5}, 1), random_normal({2, 5}, 2), random_normal({2, 5}, 3)}, only_x));
  EXPECT_TRUE(
      test::gradcheck(shared, {random_normal({2, 20, 30, 64}, 1), random_normal({64}, 2), random_normal({64}, 3)}));
}

TEST(FrozenBatchNormGradient, IsTheDerivativeByWeightAndBias) {
  const Tensor mean = random_normal({5}, 5);
  const Tensor variance = test::tensor_of({5}, std::vector<double>{0.5, 1, 2, 0.25, 4});
  const auto normalise = [&](Inputs in) {
    const ops::ScaleShift map = ops::frozen_batch_norm_scale_shift(in[1], in[2], mean, variance);
    return ops::channel_affine(in[0], map.scale, map.shift);
  };
  EXPECT_TRUE(
      test::gradcheck(normalise, {random_normal({2, 3, 4, 5}, 1), random_normal({5}, 2), random_normal({5}, 3)}));
}

TEST(ChannelAffineGradient, OfAResidual) {
  const Tensor scale = random_normal({12}, 2), shift = random_normal({12}, 3);
  const std::vector<Tensor> in = {random_normal({2, 5, 3, 12}, 1), random_normal({2, 5, 3, 12}, 4)};
  const Tensor up = random_normal({2, 5, 3, 12}, 5);
  for (const Activation activation : {Activation::none, Activation::relu}) {
    const auto fused = [&](Inputs t) {
      return ops::channel_affine(t[0], scale, shift, {.activation = activation, .out = {}, .residual = t[1]});
    };
    const auto apart = [&](Inputs t) {
      const Tensor sum = ops::add(ops::channel_affine(t[0], scale, shift), t[1]);
      return activation == Activation::relu ? ops::relu(sum) : sum;
    };
    EXPECT_TRUE(test::allclose(fused(in), apart(in)));
    const auto got = test::gradients(fused, in, {true, true}, up), want = test::gradients(apart, in, {true, true}, up);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(test::allclose(got[i], want[i])) << i;
    EXPECT_TRUE(test::allclose(test::gradients(fused, in, {false, true}, up)[1], want[1]));
  }
  const auto twice = [&](Inputs t) {
    return ops::channel_affine(t[0], scale, shift, {.activation = Activation::none, .out = {}, .residual = t[0]});
  };
  EXPECT_TRUE(test::gradcheck(twice, {in[0]}));
  EXPECT_THROW(
      (void)ops::channel_affine(in[0], scale, shift,
                                {.activation = Activation::none, .out = {}, .residual = random_normal({12}, 1)}),
      ShapeError);
}

TEST(ChannelAffineGradient, ReluIsTheOneOfItsResult) {
  const Tensor scale = random_normal({16}, 2), shift = random_normal({16}, 3), up = random_normal({2, 30, 16}, 4);
  const auto fused = [&](Inputs t) {
    return ops::channel_affine(t[0], scale, shift, {.activation = Activation::relu});
  };
  const auto apart = [&](Inputs t) { return ops::relu(ops::channel_affine(t[0], scale, shift)); };
  const Tensor x = random_normal({2, 30, 16}, 1);
  EXPECT_EQ(test::values_of(test::gradients(fused, {x}, {true}, up)[0]),
            test::values_of(test::gradients(apart, {x}, {true}, up)[0]));
}

using Tensors = std::vector<Tensor>;

/// Inputs whose pixels have this mean and type.
Tensors device_inputs(const Dims& size, DType dtype, double mean = 0) {
  Tensors in = inputs(size);
  in[0] = random_normal(size, 1, dtype, mean);
  return in;
}

test::SameOnDevicesOptions tolerance(DType dtype) {
  if (dtype == DType::f32) return {.gradients_of = {0, 1, 2}};
  return {.output_tolerance = 1e-2, .gradient_tolerance = 1e-2, .gradients_of = {0, 1, 2}};
}

// Widths that are packets or not, groups of one channel and of all, one pixel, more slices than one, more than 32
// lanes.
TEST(GroupNormOnDevices, IsTheSame) {
  struct Case {
    Dims size;
    int groups;
  };
  for (const auto& [size, groups] : {Case{{2, 9, 15, 16}, 4}, Case{{1, 1, 1, 6}, 2}, Case{{3, 7, 5}, 5},
                                     Case{{1, 70, 9}, 1}, Case{{1, 2, 70, 264}, 33}}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const Activation activation : {Activation::none, Activation::relu}) {
        const auto fn = [&, groups = groups](const Tensors& in) {
          return Tensors{normalise({.groups = groups, .activation = activation, .out = {}})(in)};
        };
        EXPECT_TRUE(test::same_on_devices(fn, device_inputs(size, dtype), tolerance(dtype))) << size;
      }
    }
  }
}

TEST(GroupNormOnDevices, ALargeMeanDoesNotCancel) {
  const auto fn = [](const Tensors& in) {
    const ops::ScaleShift map = ops::group_norm_scale_shift(in[0], in[1], in[2], {.groups = 4, .out = {}});
    return Tensors{map.scale};
  };
  EXPECT_TRUE(test::same_on_devices(fn, device_inputs({2, 30, 31, 16}, DType::f32, 1000)));
}

TEST(GroupNormOnDevices, ReadsAndWritesWindows) {
  const auto level = [](const Tensors& given) {
    const Tensor tokens = ops::narrow(ops::narrow(given[0], 1, 2, 5), 2, 4, 4);
    return Tensors{ops::group_norm(tokens, given[1], given[2], {.groups = 2, .out = {}})};
  };
  const Tensors in{random_normal({2, 9, 12}, 1), random_normal({4}, 2), random_normal({4}, 3)};
  EXPECT_TRUE(test::same_on_devices(level, in, {.gradients_of = {0, 1, 2}}));
  const auto into = [](const Tensors& given) {
    const Tensor y = ops::mul_scalar(given[0], 1.f);
    const Tensor window = ops::narrow(ops::narrow(y, 1, 2, 5), 2, 4, 4);
    static_cast<void>(ops::group_norm(window, given[1], given[2], {.groups = 2, .out = window}));  // in place
    return Tensors{y};
  };
  EXPECT_TRUE(test::same_on_devices(into, in));
}

TEST(ChannelAffineOnDevices, IsTheSame) {
  for (const std::int64_t channels : {7, 16}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Dims size{2, 5, 9, channels};
      const auto fn = [](const Tensors& in) {
        return Tensors{
            ops::channel_affine(in[0], in[1], in[2], {.activation = Activation::relu, .out = {}, .residual = in[3]})};
      };
      Tensors in = device_inputs(size, dtype);
      in.push_back(random_normal(size, 5, dtype));
      auto options = tolerance(dtype);
      options.gradients_of.push_back(3);
      EXPECT_TRUE(test::same_on_devices(fn, in, options));
      options.gradients_of = {0};  // then nothing keeps x
      EXPECT_TRUE(test::same_on_devices(fn, in, options));
      const auto per_image = [](const Tensors& given) {
        const Tensor wide = Tensor::empty(given[0].size(), DType::f32, given[0].device());
        const Tensor scale = ops::narrow(given[3], 1, 4, given[0].size(3));  // windows on the map of more channels
        const Tensor shift = ops::narrow(given[4], 1, 4, given[0].size(3));
        return Tensors{ops::channel_affine(given[0], given[1], given[2]),
                       ops::channel_affine(given[0], given[1], given[2], {.out = wide, .residual = {}}),
                       ops::channel_affine(given[0], scale, shift)};
      };
      Tensors maps{in[0]};
      for (const std::uint64_t seed : {6, 7}) maps.push_back(random_normal({2, channels}, seed));
      for (const int i : {1, 2}) maps.push_back(ops::concatenate({Tensor::zeros({2, 4}), maps[i]}, 1));
      EXPECT_TRUE(test::same_on_devices(per_image, maps, {.output_tolerance = dtype == DType::f32 ? 1e-6 : 1e-2}));
      const Tensors results = per_image(maps);
      EXPECT_EQ(test::values_of(results[2]), test::values_of(results[0]));
    }
  }
}

TEST(GroupNormGradientGolden, EqualsTheOfficialOperator) {
  const test::GoldenFile golden("ops.safetensors");
  const auto got = test::gradients(normalise({}),
                                   {test::to_nhwc(golden.load("groupnorm/in/x")), golden.load("groupnorm/in/weight"),
                                    golden.load("groupnorm/in/bias")},
                                   {true, true, true}, test::to_nhwc(golden.load("groupnorm/up/y")));
  EXPECT_TRUE(golden.matches("groupnorm/grad/x", test::to_nchw(got[0])));
  EXPECT_TRUE(golden.matches("groupnorm/grad/weight", got[1]));
  EXPECT_TRUE(golden.matches("groupnorm/grad/bias", got[2]));
}

TEST(FrozenBatchNormGradientGolden, EqualsTheOfficialOperator) {
  const test::GoldenFile golden("ops.safetensors");
  const auto in = [&](const char* name) { return golden.load(std::string("frozenbn/in/") + name); };
  const ops::ScaleShift map = ops::frozen_batch_norm_scale_shift(in("weight"), in("bias"), in("mean"), in("var"));
  const auto got = test::gradients([&](Inputs t) { return ops::channel_affine(t[0], map.scale, map.shift); },
                                   {test::to_nhwc(in("x"))}, {true}, test::to_nhwc(golden.load("frozenbn/up/y")));
  EXPECT_TRUE(golden.matches("frozenbn/grad/x", test::to_nchw(got[0])));
}

}  // namespace
}  // namespace visage
