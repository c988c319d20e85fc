#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// out = beta * out + weight * cos(a, b); with beta 0, out may hold anything.
struct CosineArgs {
  View a;    // f32 [K, D]
  View b;    // f32 [Q, D]
  View out;  // f32 [K, Q]
  float weight = 1;
  float beta = 0;
};

void cosine_cpu(const CosineArgs& args);

/// Both terms of a sum, of which the second may be absent, in one launch; beta is not looked at.
void similarity_cuda(const CosineArgs& first, const CosineArgs& second, StreamHandle stream);

}  // namespace visage::ops
