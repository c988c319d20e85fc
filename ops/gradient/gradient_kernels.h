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

/// to[c] = beta * to[c] + sum over r of from[r, c]. Summed in an order that does not depend on the number of threads.
struct SumRows {
  View from;          // rows * columns contiguous elements, f32 | bf16
  Gradient gradient;  // columns contiguous elements, f32 | bf16
};
void sum_rows_cpu(const SumRows& args);

/// to = beta * to + (y > 0 ? gy : 0): the gradient that passes a ReLU whose result is y. All contiguous, f32 | bf16.
struct Relu {
  View gy, y;  // of one type
  Gradient gradient;
};
void relu_cpu(const Relu& args);

}  // namespace visage::ops::gradient_detail
