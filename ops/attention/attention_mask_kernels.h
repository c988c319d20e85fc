#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// blocked = 1 where the f32 sigmoid of the logit is below 0.5. Both [count].
void blocked_cpu(const View& logits, const View& blocked);

struct MaskBitsArgs {
  View logits;      // [N,Q,L]
  View bits;        // words [N,Q,ceil(L/64)]
  bool foreground;  // sigmoid > 0.5, else !(sigmoid < 0.5)
};
void mask_bits_cpu(const MaskBitsArgs& args);

}  // namespace visage::ops
