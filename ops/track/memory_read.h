#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Read-out of a memory bank (VISAGE, Eq. 1) for given weights:
///   out[k, d] = sum_w weights[w, k] bank[w, k, d]
/// bank f32 [W, K, D]: slot-aligned embeddings of W frames in any order; weights f32 [W, K]; both contiguous; out f32
/// [K, D]. How old a frame is and how sure its detection was is all in the weights. W = 0 gives zeros. Not
/// differentiable. throws ShapeError, DTypeError.
[[nodiscard]] Tensor memory_read(const Tensor& bank, const Tensor& weights);

}  // namespace visage::ops
