#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::max_pool2d_detail {

struct Forward {
  View x, y;  // [N, H, W, C] and [N, H', W', C], contiguous
  int kernel, stride, padding;
};
void forward_cpu(const Forward& args);
void forward_cuda(const Forward& args, StreamHandle stream);

/// Places in a window are counted in one byte.
inline constexpr int kLargestKernel = 15;

struct Backward {
  View x, gy;   // [N, H, W, C] and [N, H', W', C], contiguous
  View place;   // [N, H', W', C] u8 scratch: where in its window each maximum is
  Gradient gx;  // like x
  int kernel, stride, padding;
};
void backward_cpu(const Backward& args);
void backward_cuda(const Backward& args, StreamHandle stream);

}  // namespace visage::ops::max_pool2d_detail
