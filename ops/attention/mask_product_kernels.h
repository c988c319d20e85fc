#pragma once
#include "tensor/view.h"

namespace visage::ops {

struct MaskProductArgs {
  View embedding;  // [N,Q,C]
  View shift;      // [N,Q,1]
  View features;   // [N,L,C]
  View bits;       // words [N,Q,ceil(L/64)]
  View any;        // i32 [N,Q] or no data
  bool foreground;
};
void mask_product_cuda(const MaskProductArgs& args, StreamHandle stream);

}  // namespace visage::ops
