#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// blocked = 1 where the f32 sigmoid of the logit is below 0.5. Both [count].
void blocked_cpu(const View& logits, const View& blocked);
void blocked_cuda(const View& logits, const View& blocked, StreamHandle stream);

struct MaskBitsArgs {
  View logits;      // [N,Q,L]
  View bits;        // words [N,Q,ceil(L/64)]
  bool foreground;  // sigmoid > 0.5, else !(sigmoid < 0.5)
};
void mask_bits_cpu(const MaskBitsArgs& args);
void mask_bits_cuda(const MaskBitsArgs& args, StreamHandle stream);

}  // namespace visage::ops
