#pragma once
#include "tensor/view.h"

namespace visage::ops {

inline constexpr int kMostMaskMaps = 4;

struct MaskProductArgs {
  View embedding;                // [N,Q,C]
  View shift;                    // [N,Q,1]
  View features[kMostMaskMaps];  // [N,L,C]
  View bits[kMostMaskMaps];      // words [N,Q,ceil(L/64)]
  int maps;
  View any;  // i32 [N,Q] or no data
  bool foreground;
};
void mask_product_cuda(const MaskProductArgs& args, StreamHandle stream);

}  // namespace visage::ops
