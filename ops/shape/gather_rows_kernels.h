#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::gather_rows_detail {

/// y[i] = x[indices[i]].
struct Forward {
  View x;        // [R, C] f32 or bytes, contiguous columns
  View indices;  // i64 [M]
  View y;        // [M, C] contiguous
};
void forward_cpu(const Forward& args);
void forward_cuda(const Forward& args, StreamHandle stream);

/// gx = beta * gx, then gx[indices[i]] += gy[i] in the order of i.
struct Backward {
  View gy;       // [M, C] contiguous
  View indices;  // i64 [M]
  Gradient gx;   // [R, C] contiguous
};
void backward_cpu(const Backward& args);
void backward_cuda(const Backward& args, StreamHandle stream);

}  // namespace visage::ops::gather_rows_detail
