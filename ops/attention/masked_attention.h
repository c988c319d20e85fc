#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Masks and score terms of masked_attention; an empty tensor means absent. At most one of the two masks may be given.
struct AttentionOptions {
  std::int64_t heads = 8;
  Tensor blocked = {};  // u8 [N,Q,L], 1 = the query does not see the key
  Tensor allowed = {};  // i64 [N,Q,ceil(L/64)], bit l % 64 of word l / 64 set = the query sees key l (see mask_bits)
  /// i32 [N,Q], not 0 where a row of `allowed` has a set bit, as mask_product_bits tells; bits of `allowed` beyond L
  /// are 0 then. Spares a GPU a pass over the words.
  Tensor sees_any = {};
  /// Separable additive terms for keys on a grid, L = H * W: the product of key (y, x) becomes
  /// q.k + score_y[n,head,q,y] + score_x[n,head,q,x]; f32 [N,heads,Q,H] and [N,heads,Q,W]. Given together or not at
  /// all.
  Tensor score_y = {};
  Tensor score_x = {};
  float scale = 0;         // factor of the product; 0 means 1 / sqrt(C / heads)
  DType out = DType::f32;  // f32 or bf16
};

/// Multi-head attention softmax(scale * q k^T + mask) v (Vaswani et al.; masked as in Cheng et al., Mask2Former,
/// equation 2), without the projections. A row that blocks every key is opened completely.
/// q [N,Q,C], k and v [N,L,C] -> [N,Q,C]. f32 or bf16 each, computed in f32; the last axis is contiguous, rows may be
/// pitched. C must be a multiple of heads. On a GPU bf16 keys and values (heads of 32 or 64, rows aligned to 16 bytes)
/// are multiplied on tensor cores, which round q and the weights to bf16; scores, softmax and sums stay f32.
/// Differentiable in q, k and v where all are f32 and there are no score terms; masks are constants.
/// throws ShapeError, DTypeError or DeviceError if the parts do not fit together, AutogradError for a gradient it
/// cannot compute.
[[nodiscard]] Tensor masked_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                      const AttentionOptions& options = {});

/// masked_attention before the splits of the keys are combined, which its reader does on the way (RowProgram::load):
///   result = sum over splits s of 2^(top_s - top) partial_s / sum over s of 2^(top_s - top) sum_s,  top = max of top_s
struct AttentionParts {
  Tensor out;      // the result [N,Q,C] f32 where there is one split, as always on the CPU; else empty
  Tensor partial;  // f32 [splits,N,Q,C]
  Tensor stats;    // f32 [2,splits,N,heads,Q]: top and sum
};
/// options.out does not count. Not differentiable.
[[nodiscard]] AttentionParts masked_attention_parts(const Tensor& q, const Tensor& k, const Tensor& v,
                                                    const AttentionOptions& options = {});

}  // namespace visage::ops
