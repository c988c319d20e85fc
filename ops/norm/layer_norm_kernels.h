#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::layer_norm_detail {

/// Shapes: rows = product of all axes but the last, C = the last. An empty view stands for an absent tensor.
struct Forward {
  View x, residual;   // [rows, C]; residual may be empty
  View weight, bias;  // [C] f32
  View y;             // [rows, C]
  View mean, rstd;    // [rows] f32, for the backward; both empty when it is not wanted
  float eps;
};
void forward_cpu(const Forward& args);
void forward_cuda(const Forward& args, StreamHandle stream);

struct Backward {
  View gy, x, residual;     // [rows, C]; residual may be empty
  View weight;              // [C] f32
  View mean, rstd;          // [rows] f32
  Gradient gx, gresidual;   // [rows, C], equal but for what they accumulate into
  Gradient gweight, gbias;  // [C] f32
  View partial;             // [2, kSlices, C] f32 scratch; CUDA only
};
void backward_cpu(const Backward& args);
void backward_cuda(const Backward& args, StreamHandle stream);

/// The CUDA backward sums the parameter gradients in at most this many independent slices of the rows.
inline constexpr std::int64_t kSlices = 32;

}  // namespace visage::ops::layer_norm_detail
