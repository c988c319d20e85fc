#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// Cosine similarity of every row of `a` with every row of `b`:
///   out[k, q] = beta * out[k, q] + weight * <a_k, b_q> / (|a_k| |b_q|)
/// With beta 0, out may hold anything. A row of zeros has similarity 0 to everything (the formula gives NaN there).
struct CosineArgs {
  View a;    // f32 [K, D]
  View b;    // f32 [Q, D]
  View out;  // f32 [K, Q]
  float weight = 1;
  float beta = 0;
};

void cosine_cpu(const CosineArgs& args);

}  // namespace visage::ops
