#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::gather_rows_detail {

/// y[i] = x[indices[i]]. The indices are in host memory and are read before the function returns.
struct Forward {
  View x;  // [R, C] f32, contiguous columns
  View y;  // [count, C] contiguous
  const std::int64_t* indices;
  std::int64_t count;
};
void forward_cpu(const Forward& args);
void forward_cuda(const Forward& args, StreamHandle stream);

/// gx = beta * gx, then gx[indices[i]] += gy[i] in the order of i.
struct Backward {
  View gy;      // [count, C] contiguous
  Gradient gx;  // [R, C] contiguous
  const std::int64_t* indices;
  std::int64_t count;
};
void backward_cpu(const Backward& args);
void backward_cuda(const Backward& args, StreamHandle stream);

}  // namespace visage::ops::gather_rows_detail
