#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct ResizeArgs {
  View x, out;  // [N,H,W,C]; planes have one channel
};
void resize_bilinear_cpu(const ResizeArgs& args);
void resize_bilinear_planes_cpu(const ResizeArgs& args);
/// Of images; planes are images of one channel to it.
void resize_bilinear_cuda(const ResizeArgs& args, StreamHandle stream);

/// Gradient of both resizings; gout [N,H',W',C] contiguous, gx [N,H,W,C] contiguous. Planes have C = 1.
struct ResizeBackwardArgs {
  View gout;
  Gradient gx;
};
void resize_bilinear_backward_cpu(const ResizeBackwardArgs& args);
void resize_bilinear_backward_cuda(const ResizeBackwardArgs& args, StreamHandle stream);

/// out += x upsampled.
void upsample2x_add_cpu(const ResizeArgs& args);
void upsample2x_add_cuda(const ResizeArgs& args, StreamHandle stream);

struct PoolCenterArgs {
  View x;    // [N,H,W,C]
  View out;  // [N,H/ratio,W/ratio,C], same type
  std::int64_t ratio;
};
void pool_center_cpu(const PoolCenterArgs& args);
/// Of one map at up to kMostRatios ratios.
inline constexpr int kMostRatios = 3;
void pool_center_cuda(const PoolCenterArgs* args, int ratios, StreamHandle stream);

}  // namespace visage::ops
