#include "ops/optim/optim_kernels.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace visage::ops {
namespace {

constexpr std::int64_t kBlock = 4096;  // independent f64 partial sums of a chunk, for the instruction pipeline only

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
  double total = 0;
  for (std::int64_t first = 0; first < span.count; first += kBlock) {
    const std::int64_t end = std::min(first + kBlock, span.count);
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = first; i < end; ++i) {
      const auto x = static_cast<double>(span.data[i]);
      sum += x * x;
    }
    total += sum;
  }
  return total;
}

}  // namespace

void adamw_cpu(const AdamWArgs& args) {
  cpu::parallel_for(args.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) update(args.spans[i], args);
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
