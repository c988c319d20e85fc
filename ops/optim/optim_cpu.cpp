#include "ops/optim/optim_kernels.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kLanes = 16;  // independent sums: an addition need not wait for the one before

void update(const AdamWSpan& span, const AdamWArgs& args, float scale) {
  float* const p = span.parameter;
  float* const mean = span.exp_avg;
  float* const square = span.exp_avg_sq;
#pragma omp simd
  for (std::int64_t i = 0; i < span.count; ++i) {
    const float g = scale * span.gradient[i];
    mean[i] = args.beta1 * mean[i] + args.rest1 * g;
    square[i] = args.beta2 * square[i] + args.rest2 * (g * g);
    p[i] = span.keep * p[i] - span.rate * (mean[i] / (std::sqrt(square[i]) / args.root + args.eps));
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
  if (args.clip && !std::isfinite(args.clip[1])) return;
  const double coefficient = args.clip ? args.clip[1] : 1;
  const auto scale = static_cast<float>(coefficient * static_cast<double>(args.gradient_scale));
  cpu::parallel_for(args.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) update(args.spans[i], args, scale);
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
