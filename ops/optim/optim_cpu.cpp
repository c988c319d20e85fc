#include "ops/optim/optim_kernels.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kLanes = 16;  // independent sums: an addition need not wait for the one before

void update(const AdamWSpan& span, const AdamWArgs& args) {
  const auto steps = static_cast<double>(args.step);
  const double correction1 = 1 - std::pow(args.beta1, steps), correction2 = 1 - std::pow(args.beta2, steps);
  const auto keep = static_cast<float>(1 - span.learning_rate * span.weight_decay);
  const auto rate = static_cast<float>(span.learning_rate / correction1);
  const auto root = static_cast<float>(std::sqrt(correction2)), eps = static_cast<float>(args.eps);
  const auto beta1 = static_cast<float>(args.beta1), rest1 = static_cast<float>(1 - args.beta1);
  const auto beta2 = static_cast<float>(args.beta2), rest2 = static_cast<float>(1 - args.beta2);
  const auto scale = static_cast<float>(args.gradient_scale);
  float* const p = span.parameter;
  float* const mean = span.exp_avg;
  float* const square = span.exp_avg_sq;
#pragma omp simd
  for (std::int64_t i = 0; i < span.count; ++i) {
    const float g = scale * span.gradient[i];
    mean[i] = beta1 * mean[i] + rest1 * g;
    square[i] = beta2 * square[i] + rest2 * (g * g);
    p[i] = keep * p[i] - rate * (mean[i] / (std::sqrt(square[i]) / root + eps));
  }
}

double squares(const FloatSpan& span) {
  double sums[kLanes] = {};
  const auto add = [&](std::int64_t lane, float value) {
    const auto x = static_cast<double>(value);
    sums[lane] += x * x;
  };
  std::int64_t i = 0;
  for (; i + kLanes <= span.count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) add(lane, span.data[i + lane]);
  for (; i < span.count; ++i) add(0, span.data[i]);
  return std::accumulate(sums, sums + kLanes, 0.);
}

}  // namespace

void adamw_cpu(const AdamWArgs& args) {
  cpu::parallel_for(args.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) update(args.spans[i], args);
  });
}

void moving_average_cpu(const AverageSpan* spans, std::int64_t count, float share) {
  cpu::parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s) {
      const AverageSpan& span = spans[s];
#pragma omp simd
      for (std::int64_t i = 0; i < span.count; ++i) span.average[i] += share * (span.value[i] - span.average[i]);
    }
  });
}

double sum_of_squares_cpu(const FloatSpan* spans, std::int64_t count) {
  std::vector<double> partial(count);
  cpu::parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) partial[i] = squares(spans[i]);
  });
  return std::accumulate(partial.begin(), partial.end(), 0.);
}

}  // namespace visage::ops
