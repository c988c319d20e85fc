// A matrix product of our own: a query's row stays in the cache while the targets pass, and the order of the sums does
// not depend on the number of threads.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/sigmoid.h"
#include "ops/simd/vec8.h"
#include "tensor/cpu/parallel.h"

#include <utility>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kBlock = 256;  // products summed in f32 before they are added to an f64 total

double dot(const float* a, const float* b, std::int64_t count) {
  double total = 0;
  for (std::int64_t first = 0; first < count; first += kBlock) {
    const std::int64_t end = std::min(first + kBlock, count);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = first; i < end; ++i) sum += a[i] * b[i];
    total += static_cast<double>(sum);
  }
  return total;
}

/// exp(-|x|), relative error below 3e-7; a NaN stays one.
Vec8 exp_of_minus_abs(const Vec8& x) { return exp2_nonpositive((x < 0.f ? x : -x) * 1.44269504f); }

/// Sum of log(1 + exp(x)). The logarithms of a block of factors 1 + exp(-|x|), each at most 2, are one of their
/// product.
double softplus_sum(const float* x, std::int64_t count) {
  double total = 0, product[kVec8] = {1, 1, 1, 1, 1, 1, 1, 1};
  const auto take_logarithms = [&] {
    for (double& factor : product) total += std::log(std::exchange(factor, 1.));
  };
  std::int64_t i = 0;
  for (; i + kVec8 <= count; i += kVec8) {
    const Vec8 at = load8(x + i), e = exp_of_minus_abs(at);
    float positive = 0;
    for (int lane = 0; lane < kVec8; ++lane) {
      product[lane] *= 1. + static_cast<double>(e[lane]);
      positive += std::max(at[lane], 0.f);
    }
    total += static_cast<double>(positive);
    if (i / kVec8 % 512 == 511) take_logarithms();
  }
  take_logarithms();
  for (; i < count; ++i) total += static_cast<double>(softplus(x[i]));
  return total;
}

void sigmoids(const float* x, float* probability, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kVec8 <= count; i += kVec8) {
    const Vec8 at = load8(x + i), e = exp_of_minus_abs(at), one = Vec8{} + 1.f;
    store8(probability + i, (at < 0.f ? e : one) / (1.f + e));
  }
  for (; i < count; ++i) probability[i] = sigmoid(x[i]);
}

double sum_of(const float* x, std::int64_t count) {
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += static_cast<double>(x[i]);
  return total;
}

}  // namespace

void sigmoid_ce_cost_cpu(const MaskCostArgs& args) {
  const std::int64_t points = args.logits.size[1], instances = args.targets.size[0];
  cpu::parallel_for(args.logits.size[0], 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t q = begin; q < end; ++q) {
      const float* x = args.logits.as<float>() + q * points;
      const double negative = softplus_sum(x, points);  // cost if every target is 0
      for (std::int64_t g = 0; g < instances; ++g) {
        const double product = dot(x, args.targets.as<float>() + g * points, points);
        args.cost.as<float>()[q * instances + g] =
            static_cast<float>((negative - product) / static_cast<double>(points));
      }
    }
  });
}

void dice_cost_cpu(const MaskCostArgs& args) {
  const std::int64_t points = args.logits.size[1], instances = args.targets.size[0];
  std::vector<double> target_sum(instances);
  for (std::int64_t g = 0; g < instances; ++g) target_sum[g] = sum_of(args.targets.as<float>() + g * points, points);
  cpu::parallel_for(args.logits.size[0], 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> probability(points);
    for (std::int64_t q = begin; q < end; ++q) {
      const float* x = args.logits.as<float>() + q * points;
      sigmoids(x, probability.data(), points);
      const double sum = sum_of(probability.data(), points);
      for (std::int64_t g = 0; g < instances; ++g) {
        const double product = dot(probability.data(), args.targets.as<float>() + g * points, points);
        args.cost.as<float>()[q * instances + g] =
            static_cast<float>(1 - (2 * product + 1) / (sum + target_sum[g] + 1));
      }
    }
  });
}

void class_cost_cpu(const ClassCostArgs& args) {
  const std::int64_t classes = args.logits.size[1], instances = args.labels.size[0];
  for (std::int64_t q = 0; q < args.logits.size[0]; ++q) {
    const float* x = args.logits.as<float>() + q * classes;
    const float top = *std::max_element(x, x + classes);
    double sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(x[c] - top));
    for (std::int64_t g = 0; g < instances; ++g) {
      const float own = x[args.labels.as<std::int64_t>()[g]];
      args.cost.as<float>()[q * instances + g] = static_cast<float>(-std::exp(static_cast<double>(own - top)) / sum);
    }
  }
}

}  // namespace visage::ops
