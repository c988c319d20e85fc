#pragma once
#include "tensor/view.h"

namespace visage::ops::max_pool2d_detail {

struct Forward {
  View x, y;  // [N, H, W, C] and [N, H', W', C], contiguous
  int kernel, stride, padding;
};
void forward_cpu(const Forward& args);

}  // namespace visage::ops::max_pool2d_detail
