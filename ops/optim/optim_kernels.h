#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// Elements [0, count) of one tensor; the parallel loops run over pieces of at most kOptimChunk.
struct AdamWSpan {
  float* parameter;
  const float* gradient;
  float* exp_avg;
  float* exp_avg_sq;
  std::int64_t count;
  double learning_rate;
  double weight_decay;
};

struct AdamWArgs {
  const AdamWSpan* spans;
  std::int64_t count;
  std::int64_t step;
  double beta1, beta2, eps, gradient_scale;
};
void adamw_cpu(const AdamWArgs& args);

struct FloatSpan {
  const float* data;
  std::int64_t count;
};
/// Sum of squares of a list of spans, in the order of the list.
double sum_of_squares_cpu(const FloatSpan* spans, std::int64_t count);

struct AverageSpan {
  float* average;
  const float* value;
  std::int64_t count;
};
/// average += share * (value - average)
void moving_average_cpu(const AverageSpan* spans, std::int64_t count, float share);

inline constexpr std::int64_t kOptimChunk = 64 * 1024;  // elements: 1 MiB of the four tensors of a step

}  // namespace visage::ops
