#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::frozen_batch_norm_detail {

/// scale = weight / sqrt(variance + eps),  shift = bias - mean * scale,  rstd = 1 / sqrt(variance + eps). All [C] f32.
struct Fold {
  View weight, bias, mean, variance;
  View scale, shift, rstd;
  float eps;
};
void fold_cpu(const Fold& args);
void fold_cuda(const Fold& args, StreamHandle stream);

/// to = beta * to + sign * gy * factor. All [C] f32.
struct Product {
  View gy, factor;
  float sign;
  Gradient gradient;
};
void product_cpu(const Product& args);
void product_cuda(const Product& args, StreamHandle stream);

}  // namespace visage::ops::frozen_batch_norm_detail
