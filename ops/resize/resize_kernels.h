#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct ResizeArgs {
  View x;    // [N,H,W,C] or planes [N,H,W]
  View out;  // same rank
};
void resize_bilinear_cpu(const ResizeArgs& args);
void resize_bilinear_planes_cpu(const ResizeArgs& args);

/// Gradient of both resizings; gout [N,H',W',C] contiguous, gx [N,H,W,C] contiguous. Planes have C = 1.
struct ResizeBackwardArgs {
  View gout;
  Gradient gx;
};
void resize_bilinear_backward_cpu(const ResizeBackwardArgs& args);

/// out += x upsampled.
void upsample2x_add_cpu(const ResizeArgs& args);

struct PoolCenterArgs {
  View x;    // [N,H,W,C]
  View out;  // [N,H/ratio,W/ratio,C], same type
  std::int64_t ratio;
};
void pool_center_cpu(const PoolCenterArgs& args);

}  // namespace visage::ops
