#pragma once
#include "tensor/tensor.h"

#include <span>

namespace visage::ops {

/// One parameter with its optimizer state; all four f32, contiguous and of one size. The state starts as zeros.
struct AdamWTensor {
  Tensor parameter;
  Tensor gradient;
  Tensor exp_avg;     // running mean of the gradient
  Tensor exp_avg_sq;  // running mean of its square
  double learning_rate = 1e-4;
  double weight_decay = 0;
};

struct AdamWOptions {
  std::int64_t step = 1;  // 1 for the first one
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double gradient_scale = 1;  // multiplies every gradient first: the clip coefficient, 1 / accumulated batches
  Tensor clip = {};           // of gradient_clip, on the device of the tensors: its coefficient multiplies them as well
};

/// One step of AdamW (Loshchilov and Hutter, Decoupled weight decay regularization, algorithm 2), in place on every
/// tensor, with g = gradient_scale * gradient:
///   p *= 1 - lr * wd;   m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
///   p -= lr / (1 - b1^step) * m / (sqrt(v) / sqrt(1 - b2^step) + eps)
/// If the norm in `clip` is not finite, the step changes nothing. Never waits for the device. Element-wise: the result
/// does not depend on the number of threads or on the order of the tensors. throws ShapeError, DTypeError or
/// DeviceError naming the position in the list; Error if the step is not positive.
void adamw_step(std::span<const AdamWTensor> tensors, const AdamWOptions& options);

}  // namespace visage::ops
