#pragma once
// The recorded numbers have channels first; ours have them last.
#include "ops/elementwise/elementwise.h"

namespace visage::test {

/// [N, H, W, C] -> [N, C, H, W]
inline Tensor to_nchw(const Tensor& x) { return ops::permute(x, {0, 3, 1, 2}); }
/// [N, C, H, W] -> [N, H, W, C]
inline Tensor to_nhwc(const Tensor& x) { return ops::permute(x, {0, 2, 3, 1}); }

}  // namespace visage::test
