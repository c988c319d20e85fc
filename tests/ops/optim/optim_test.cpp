#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "ops/optim/learning_rate.h"
#include "ops/optim/moving_average.h"
#include "tensor/cpu/parallel.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/values.h"

#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

Tensor copy_of(const Tensor& x) { return test::tensor_of(x.size(), test::values_of(x)); }

AdamWTensor fresh(const Tensor& parameter, double learning_rate, double weight_decay) {
  return {copy_of(parameter), {},          Tensor::zeros(parameter.size()), Tensor::zeros(parameter.size()),
          learning_rate,      weight_decay};
}

TEST(AdamWGolden, ThreeStepsOfThreeGroupsEqualTheRecordedOnes) {
  const test::GoldenFile golden("ops.safetensors");
  std::vector<AdamWTensor> tensors;
  const auto name = [](std::size_t i, const std::string& what) { return "adamw/p" + std::to_string(i) + "/" + what; };
  for (std::size_t i = 0; golden.contains(name(i, "init")); ++i) {
    const auto rates = test::values_of(golden.load(name(i, "lr_wd")));
    tensors.push_back(fresh(golden.load(name(i, "init")), rates[0], rates[1]));
  }
  ASSERT_FALSE(tensors.empty());
  for (std::int64_t step = 0; golden.contains(name(0, "grad" + std::to_string(step))); ++step) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      tensors[i].gradient = golden.load(name(i, "grad" + std::to_string(step)));
    adamw_step(tensors, {.step = step + 1});
    // Updates are 1e-4 large, so the general tolerance of 1e-6 would let a wrong one pass.
    for (std::size_t i = 0; i < tensors.size(); ++i)
      EXPECT_TRUE(allclose(tensors[i].parameter, golden.load(name(i, "after" + std::to_string(step)))));
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(allclose(tensors[i].exp_avg, golden.load(name(i, "exp_avg"))));
    EXPECT_TRUE(allclose(tensors[i].exp_avg_sq, golden.load(name(i, "exp_avg_sq"))));
  }
}

TEST(MovingAverage, FollowsItsEquation) {
  const std::vector<Tensor> averages{random_normal({70000}, 1), random_normal({3, 5}, 2)};
  const std::vector<Tensor> values{random_normal({70000}, 3), random_normal({3, 5}, 4)};
  for (std::size_t t = 0; t < 2; ++t) {
    const auto before = test::values_of(averages[t]), value = test::values_of(values[t]);
    const std::uint64_t version = averages[t].storage()->version();
    moving_average({&averages[t], 1}, {&values[t], 1}, 0.75);
    const auto after = test::values_of(averages[t]);
    for (std::size_t i = 0; i < after.size(); ++i) ASSERT_NEAR(after[i], 0.75 * before[i] + 0.25 * value[i], 1e-6) << i;
    EXPECT_GT(averages[t].storage()->version(), version);
  }
  moving_average(averages, averages, 0.5);
  EXPECT_THROW(moving_average(averages, {}, 0.5), ShapeError);
  EXPECT_THROW(moving_average(averages, values, 1.5), UsageError);
}

TEST(MovingAverage, TheSameOnEveryDevice) {
  test::for_each_device([](Device device) {
    const auto on = [&](const Tensor& x) { return test::on(copy_of(x), device); };
    const Tensor average = random_normal({65541}, 1), value = random_normal({65541}, 2);
    const std::vector<Tensor> averages{on(average), on(random_normal({9}, 3)), on(Tensor::zeros({0}))};
    const std::vector<Tensor> values{on(value), averages[1], on(Tensor::zeros({0}))};
    moving_average(averages, values, 0.75);
    std::vector<double> want = test::values_of(average);
    const auto added = test::values_of(value);
    for (std::size_t i = 0; i < want.size(); ++i) want[i] += 0.25 * (added[i] - want[i]);
    EXPECT_TRUE(allclose(averages[0], test::tensor_of({65541}, want)));
    EXPECT_EQ(test::values_of(averages[1]), test::values_of(random_normal({9}, 3)));
  });
}

TEST(AdamW, FollowsItsEquations) {
  AdamWTensor tensor = fresh(random_normal({70000}, 1), 0.01, 0.1);
  std::vector<double> p = test::values_of(tensor.parameter), m(p.size()), v(p.size());
  const AdamWOptions options{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .gradient_scale = 0.25};
  for (int step = 1; step <= 4; ++step) {
    tensor.gradient = random_normal({70000}, 10 + step);
    const auto g = test::values_of(tensor.gradient);
    for (std::size_t i = 0; i < p.size(); ++i) {
      m[i] = 0.8 * m[i] + 0.2 * g[i] / 4;
      v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i] / 16;
      p[i] *= 1 - 0.01 * 0.1;
      p[i] -= 0.01 / (1 - std::pow(0.8, step)) * m[i] / (std::sqrt(v[i]) / std::sqrt(1 - std::pow(0.95, step)) + 1e-3);
    }
    AdamWOptions now = options;
    now.step = step;
    const auto version = tensor.parameter.storage()->version();
    adamw_step(std::span(&tensor, 1), now);
    EXPECT_GT(tensor.parameter.storage()->version(), version);
  }
  EXPECT_TRUE(allclose(tensor.parameter, test::tensor_of({70000}, p)));
}

/// A tensor at `offset` elements from an aligned address.
Tensor shifted(const Tensor& x, std::int64_t offset) {
  const Tensor base = Tensor::zeros({x.numel() + offset}, DType::f32, x.device());
  std::vector<double> values(offset, 0.);
  for (const double value : test::values_of(x)) values.push_back(value);
  const Tensor filled = test::on(test::tensor_of(base.size(), values), x.device());
  return Tensor::alias(filled, x.size(), contiguous_strides(x.size()), offset);
}

/// Three tensors, one of several pieces, one unaligned, after two steps; with a clip of the gradients if `max_norm`.
std::vector<AdamWTensor> after_two_steps(Device device, double max_norm, double gradient = 1) {
  std::vector<AdamWTensor> tensors;
  for (const std::int64_t count : {65541, 7, 1, 0}) {
    const auto seed = static_cast<std::uint64_t>(count);
    AdamWTensor tensor = fresh(random_normal({count}, seed), 1e-2 * static_cast<double>(count % 3 + 1), 0.1);
    for (Tensor* part : {&tensor.parameter, &tensor.exp_avg, &tensor.exp_avg_sq}) *part = test::on(*part, device);
    tensor.gradient = test::on(random_normal({count}, seed + 1, DType::f32, 0, gradient), device);
    if (count == 7) {
      for (Tensor* part : {&tensor.parameter, &tensor.gradient, &tensor.exp_avg, &tensor.exp_avg_sq})
        *part = shifted(*part, 1);
    }
    tensors.push_back(tensor);
  }
  std::vector<Tensor> gradients;
  for (const AdamWTensor& tensor : tensors) gradients.push_back(tensor.gradient);
  AdamWOptions options{.eps = 1e-3, .gradient_scale = 0.5};
  if (max_norm > 0) options.clip = gradient_clip(gradients, max_norm);
  adamw_step(tensors, options);
  options.step = 2;
  adamw_step(tensors, options);
  return tensors;
}

TEST(AdamW, TheSameOnEveryDevice) {
  for (const double max_norm : {0., 0.5, 1e9}) {
    const std::vector<AdamWTensor> want = after_two_steps({}, max_norm);
    test::for_each_device([&](Device device) {
      const std::vector<AdamWTensor> got = after_two_steps(device, max_norm);
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_TRUE(allclose(got[i].parameter, want[i].parameter)) << i << ' ' << max_norm;
        EXPECT_TRUE(allclose(got[i].exp_avg, want[i].exp_avg)) << i << ' ' << max_norm;
        EXPECT_TRUE(allclose(got[i].exp_avg_sq, want[i].exp_avg_sq)) << i << ' ' << max_norm;
      }
    });
  }
}

TEST(AdamW, ClipsAsTheScaleOfTheHostDoes) {
  test::for_each_device([](Device device) {
    const auto step = [&](bool on_device) {
      AdamWTensor tensor = fresh(random_normal({100}, 1), 1e-2, 0.1);
      for (Tensor* part : {&tensor.parameter, &tensor.exp_avg, &tensor.exp_avg_sq}) *part = test::on(*part, device);
      tensor.gradient = test::on(random_normal({100}, 2), device);
      const std::span<const Tensor> gradients(&tensor.gradient, 1);
      if (on_device)
        adamw_step(std::span(&tensor, 1), {.clip = gradient_clip(gradients, 0.01)});
      else
        adamw_step(std::span(&tensor, 1), {.gradient_scale = clip_coefficient(global_norm(gradients), 0.01)});
      return tensor.parameter;
    };
    EXPECT_EQ(test::values_of(step(true)), test::values_of(step(false)));
  });
}

TEST(AdamW, WithoutAFiniteNormNothingChanges) {
  test::for_each_device([](Device device) {
    AdamWTensor tensor = fresh(random_normal({40}, 1), 1, 0.1);
    const auto before = test::values_of(tensor.parameter);
    for (Tensor* part : {&tensor.parameter, &tensor.exp_avg, &tensor.exp_avg_sq}) *part = test::on(*part, device);
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      std::vector<double> gradient(40, 1.);
      gradient[33] = bad;
      tensor.gradient = test::on(test::tensor_of({40}, gradient), device);
      const Tensor clip = gradient_clip(std::span(&tensor.gradient, 1), 1);
      EXPECT_FALSE(std::isfinite(test::values_of(clip)[0]));
      EXPECT_TRUE(std::isnan(test::values_of(clip)[1]));
      adamw_step(std::span(&tensor, 1), {.clip = clip});
      EXPECT_EQ(test::values_of(tensor.parameter), before);
      EXPECT_EQ(test::values_of(tensor.exp_avg), std::vector<double>(40, 0.));
      EXPECT_EQ(test::values_of(tensor.exp_avg_sq), std::vector<double>(40, 0.));
    }
  });
}

TEST(AdamW, DoesNotDependOnTheNumberOfThreads) {
  const auto run = [] {
    std::vector<AdamWTensor> tensors = {fresh(random_normal({150001}, 1), 1e-3, 0.1),
                                        fresh(random_normal({7}, 2), 1, 0)};
    for (std::size_t i = 0; i < tensors.size(); ++i)
      tensors[i].gradient = random_normal(tensors[i].parameter.size(), i);
    adamw_step(tensors, {});
    return test::values_of(tensors[0].parameter);
  };
  const int threads = cpu::num_threads();
  const auto many = run();
  cpu::set_num_threads(1);
  EXPECT_EQ(run(), many);
  cpu::set_num_threads(threads);
}

TEST(AdamW, RefusesTensorsThatDoNotFit) {
  AdamWTensor tensor = fresh(Tensor::zeros({3}), 1e-3, 0);
  const auto step = [&] { adamw_step(std::span(&tensor, 1), {}); };
  EXPECT_THROW(step(), ShapeError);  // without a gradient
  tensor.gradient = Tensor::zeros({4});
  EXPECT_EQ(test::message_of<ShapeError>(step),
            "adamw_step: tensor 0: parameter, gradient and state must be contiguous and of one size");
  tensor.gradient = Tensor::zeros({3}, DType::bf16);
  EXPECT_THROW(step(), DTypeError);
  tensor.gradient = Tensor::zeros({3});
  EXPECT_THROW(adamw_step(std::span(&tensor, 1), {.step = 0}), Error);
}

TEST(GradientNormGolden, ClipsLikeTheRecordedOptimizer) {
  const test::GoldenFile golden("ops.safetensors");
  for (const std::string op : {"clip/big", "clip/small"}) {
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; golden.contains(op + "/in/g" + std::to_string(i)); ++i)
      gradients.push_back(golden.load(op + "/in/g" + std::to_string(i)));
    const double norm = global_norm(gradients);
    EXPECT_TRUE(allclose(test::tensor_of({1}, std::vector<double>{norm}), golden.load(op + "/out/total_norm"))) << op;
    const double factor = clip_coefficient(norm, 0.01);
    EXPECT_EQ(factor == 1, op == "clip/small");
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      std::vector<double> clipped = test::values_of(gradients[i]);
      for (double& g : clipped) g *= factor;
      EXPECT_TRUE(
          allclose(test::tensor_of(gradients[i].size(), clipped), golden.load(op + "/out/g" + std::to_string(i))))
          << op;
    }
  }
}

TEST(GradientNorm, SumsAllTensorsInOneOrder) {
  const std::vector<Tensor> tensors = {random_normal({200000}, 1), {}, random_normal({3, 5}, 2), Tensor::zeros({0})};
  double sum = 0;
  for (const Tensor& tensor : {tensors[0], tensors[2]})
    for (const double x : test::values_of(tensor)) sum += x * x;
  const double norm = global_norm(tensors);
  EXPECT_NEAR(norm, std::sqrt(sum), 1e-10 * norm);
  const int threads = cpu::num_threads();
  cpu::set_num_threads(1);
  EXPECT_EQ(global_norm(tensors), norm);
  cpu::set_num_threads(threads);
  EXPECT_EQ(global_norm({}), 0);
  EXPECT_THROW((void)global_norm(std::vector<Tensor>{Tensor::zeros({2}, DType::i32)}), DTypeError);
}

TEST(GradientNorm, TheSameOnEveryDevice) {
  test::for_each_device([](Device device) {
    std::vector<Tensor> tensors = {test::on(random_normal({65600}, 1), device),
                                   {},
                                   test::on(random_normal({3, 5}, 2), device),
                                   test::on(Tensor::zeros({0}), device)};
    tensors.push_back(shifted(tensors[2], 3));
    double sum = 0;
    for (const std::size_t i : {0, 2, 4})
      for (const double x : test::values_of(tensors[i])) sum += x * x;
    const double norm = global_norm(tensors);
    EXPECT_NEAR(norm, std::sqrt(sum), 1e-10 * norm);
    for (const double max_norm : {1., 1e9}) {
      const auto clip = test::values_of(gradient_clip(tensors, max_norm));
      EXPECT_EQ(clip[0], norm);
      EXPECT_DOUBLE_EQ(clip[1], clip_coefficient(norm, max_norm));
    }
    EXPECT_EQ(first_non_finite(tensors), std::nullopt);
    tensors.push_back(test::on(test::tensor_of({2}, std::vector<double>{0, std::nan("")}), device));
    EXPECT_EQ(first_non_finite(tensors), 5u);
    const Tensor largest = test::tensor_of({1}, std::vector<double>{std::numeric_limits<float>::max()});
    EXPECT_EQ(global_norm(std::vector<Tensor>{test::on(largest, device)}), std::numeric_limits<float>::max());
    EXPECT_EQ(global_norm(std::vector<Tensor>{tensors[3]}), 0);
  });
}

TEST(GradientNorm, LargeElementsAreFiniteAndOthersAreFound) {
  const auto with = [](float value) {
    const Tensor x = Tensor::zeros({100});
    x.data<float>()[57] = value;
    return std::vector<Tensor>{Tensor::zeros({3}), {}, x};
  };
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(global_norm(with(largest)), static_cast<double>(largest));
  EXPECT_EQ(first_non_finite(with(largest)), std::nullopt);
  EXPECT_EQ(first_non_finite(with(std::numeric_limits<float>::quiet_NaN())), 2u);
  EXPECT_EQ(first_non_finite(with(-std::numeric_limits<float>::infinity())), 2u);
  EXPECT_FALSE(std::isfinite(global_norm(with(std::numeric_limits<float>::infinity()))));
}

TEST(LearningRateGolden, EqualsTheRecordedSchedule) {
  const test::GoldenFile golden("ops.safetensors");
  const Tensor iterations = golden.load("lr_schedule/iter");
  const auto want = test::values_of(golden.load("lr_schedule/lr"));
  const LearningRateSchedule official{.base = 1e-4, .milestones = {15000}, .warmup_iterations = 10};
  for (std::int64_t i = 0; i < iterations.numel(); ++i) {
    const double rate = learning_rate(official, iterations.data<std::int64_t>()[i]);
    EXPECT_NEAR(rate, want[i], 1e-12 * want[i]) << iterations.data<std::int64_t>()[i];
  }
}

TEST(LearningRate, WarmsUpAlongALineAndStepsDown) {
  const LearningRateSchedule schedule{
      .base = 2, .milestones = {10, 20}, .decay = 0.5, .warmup_iterations = 4, .warmup_factor = 0.25};
  const std::vector<std::pair<std::int64_t, double>> want = {{0, 0.5}, {1, 0.875}, {2, 1.25}, {3, 1.625}, {4, 2},
                                                             {9, 2},   {10, 1},    {19, 1},   {20, 0.5},  {1000, 0.5}};
  for (const auto& [iteration, rate] : want) EXPECT_DOUBLE_EQ(learning_rate(schedule, iteration), rate) << iteration;
  EXPECT_THROW((void)learning_rate(schedule, -1), UsageError);
  EXPECT_THROW((void)learning_rate({.milestones = {5, 3}}, 0), UsageError);
}

}  // namespace
}  // namespace visage::ops
