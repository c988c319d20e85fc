#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct MaskPoolArgs {
  View features;  // [N,L,C] f32 or bf16
  View bits;      // words [N,Q,ceil(L/64)]
  View scale;     // [N,C] or no data
  View shift;
  View pooled;  // [N,Q,C]
  View counts;  // i64 [N,Q]
};
void mask_pool_cpu(const MaskPoolArgs& args);
/// partial: f32 [splits,N,Q,C] scratch, the sums of each part of the pixels.
void mask_pool_cuda(const MaskPoolArgs& args, const View& partial, StreamHandle stream);

struct MaskPoolBackwardArgs {
  View gpooled;        // [N,Q,C]
  View bits;           // words [N,Q,ceil(L/64)]
  View counts;         // i64 [N,Q]
  Gradient gfeatures;  // [N,L,C]
};
void mask_pool_backward_cpu(const MaskPoolBackwardArgs& args);
void mask_pool_backward_cuda(const MaskPoolBackwardArgs& args, StreamHandle stream);

}  // namespace visage::ops
