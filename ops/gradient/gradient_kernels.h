#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::gradient_detail {

/// to = beta * to + factor * from. Same sizes, any strides (0 repeats), f32 | bf16 each; the sum is formed in f32.
struct Accumulate {
  View from;
  Gradient gradient;
  float factor = 1;
};
void accumulate_cpu(const Accumulate& args);
void accumulate_cuda(const Accumulate& args, StreamHandle stream);

/// to[c] = beta * to[c] + sum over r of from[r, c]. Summed in an order that does not depend on the number of threads.
struct SumRows {
  View from;          // rows * columns contiguous elements, f32 | bf16
  Gradient gradient;  // columns contiguous elements, f32 | bf16
  View partial;       // [slices, columns] f32 scratch for slices_for() > 1; CUDA only
};
void sum_rows_cpu(const SumRows& args);
void sum_rows_cuda(const SumRows& args, StreamHandle stream);

/// The CUDA kernel sums this many slices of the rows on their own: enough to occupy a GPU, of 64 rows at least.
constexpr std::int64_t slices_for(std::int64_t rows, std::int64_t columns) {
  const std::int64_t wanted = 1 + 128 * 1024 / (columns + 1), possible = rows / 64;
  return possible < 2 ? 1 : wanted < possible ? wanted : possible;
}

/// to = beta * to + (y > 0 ? gy : 0): the gradient that passes a ReLU whose result is y. All contiguous, f32 | bf16.
struct Relu {
  View gy, y;  // of one type
  Gradient gradient;
};
void relu_cpu(const Relu& args);
void relu_cuda(const Relu& args, StreamHandle stream);

/// Sets the elements of a contiguous view to zero.
void clear_cuda(const View& to, StreamHandle stream);

}  // namespace visage::ops::gradient_detail
