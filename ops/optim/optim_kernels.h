#pragma once
#include "tensor/view.h"

namespace visage::ops {

// Lists of pieces of tensors: elements [0, count), at most kOptimChunk, so that pieces are equal work for a thread of
// the CPU or a few blocks of a GPU. The cuda functions want the lists in device memory.

struct AdamWSpan {
  float* parameter;
  const float* gradient;
  float* exp_avg;
  float* exp_avg_sq;
  std::int64_t count;
  float keep;  // 1 - learning rate * weight decay
  float rate;  // learning rate / (1 - beta1^step)
};

struct AdamWArgs {
  const AdamWSpan* spans;
  std::int64_t count;
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta
  float root;                        // sqrt(1 - beta2^step)
  float eps;
  float gradient_scale;
  const double* clip;  // null or {norm, coefficient}, where the tensors are
};
void adamw_cpu(const AdamWArgs& args);
void adamw_cuda(const AdamWArgs& args, StreamHandle stream);

struct FloatSpan {
  const float* data;
  std::int64_t count;
};
/// Sum of squares of a list of spans, in the order of the list.
double sum_of_squares_cpu(const FloatSpan* spans, std::int64_t count);
/// result[0] = the norm, result[1] = its clip coefficient; partial has kNormParts doubles a span.
void norm_cuda(const FloatSpan* spans, std::int64_t count, double max_norm, double* partial, double* result,
               StreamHandle stream);

struct AverageSpan {
  float* average;
  const float* value;
  std::int64_t count;
};
/// average += share * (value - average)
void moving_average_cpu(const AverageSpan* spans, std::int64_t count, float share);
void moving_average_cuda(const AverageSpan* spans, std::int64_t count, float share, StreamHandle stream);

inline constexpr std::int64_t kOptimChunk = 64 * 1024;  // elements: 1 MiB of the four tensors of a step
inline constexpr int kNormParts = 4;                    // blocks that share a span

}  // namespace visage::ops
