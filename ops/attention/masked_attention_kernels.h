#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct MaskedAttentionArgs {
  View q;        // [N,Q,C]
  View k;        // [N,L,C]
  View v;        // [N,L,C]
  View blocked;  // u8 [N,Q,L] or no data
  View allowed;  // i64 words [N,Q,ceil(L/64)] or no data
  View score_y;  // f32 [N,heads,Q,H] or no data
  View score_x;  // f32 [N,heads,Q,W]
  View out;      // [N,Q,C], or no data: what is split stays so
  std::int64_t heads;
  float scale;
  View sees_any = {};  // i32 [N,Q] or no data
  View lse = {};       // f32 [N,heads,Q], base-2 log-sum-exp of the scaled scores for the backward, or no data
};
/// The portable kernel, and the AVX-512 one for head sizes 16, 32 and 64.
void masked_attention_cpu(const MaskedAttentionArgs& args);
void masked_attention_avx512(const MaskedAttentionArgs& args);
bool masked_attention_fits_avx512(const MaskedAttentionArgs& args);

/// What the CUDA kernels write besides their results. `partial` has as many leading slices as the keys are split into,
/// which the forward goes without (and without `stats`) when there is one.
struct AttentionScratch {
  View visible;  // words [N,Q,ceil(L/64)], the keys that a row sees; no data without a mask or with sees_any
  View partial;  // f32 [splits,N,Q,C]: outputs before the combination; in the backward gradients of q
  View stats;    // f32 [2,splits,N,heads,Q]: highest score, sum of weights; in the backward [N,heads,Q], gout . out
};
void masked_attention_cuda(const MaskedAttentionArgs& args, const AttentionScratch& scratch, StreamHandle stream);
/// Whether it multiplies on tensor cores: bf16 keys and values, heads of 32 or 64, aligned rows, no gradient.
bool masked_attention_fits_mma(const MaskedAttentionArgs& args);
/// Queries a block of it owns, in f32 and on tensor cores.
inline constexpr std::int64_t kAttentionQueries = 64, kAttentionMmaQueries = 128;

/// For f32 tensors and no score terms; forward.out and forward.lse are what the forward left.
struct MaskedAttentionBackwardArgs {
  MaskedAttentionArgs forward;
  View gout;            // [N,Q,C]
  Gradient gq, gk, gv;  // when gq shares its buffer with another one, its beta is 1
};
void masked_attention_backward_cpu(const MaskedAttentionBackwardArgs& args);
void masked_attention_backward_cuda(const MaskedAttentionBackwardArgs& args, const AttentionScratch& scratch,
                                    StreamHandle stream);

/// Writes the keys that row (n, q) sees to bits[0, words); bits of keys that do not exist are 0, and a row that would
/// see nothing sees everything.
void visible_keys_cpu(const MaskedAttentionArgs& args, std::int64_t n, std::int64_t q, std::int64_t words,
                      std::uint64_t* bits);

}  // namespace visage::ops
