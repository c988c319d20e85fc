#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

inline constexpr int kMaxLevels = 4;

struct DeformLevel {
  std::int64_t height;
  std::int64_t width;
  std::int64_t start;  // index of the level's first token
};

struct DeformAttentionArgs {
  View value;      // [N,L,heads,dim]
  View locations;  // [N,Lq,heads,levels,points,2]
  View weights;    // [N,Lq,heads,levels,points]
  View out;        // [N,Lq,heads*dim]
  DeformLevel level[kMaxLevels];
};
void deform_attention_cpu(const DeformAttentionArgs& args);
void deform_attention_cuda(const DeformAttentionArgs& args, StreamHandle stream);

struct DeformBackwardArgs {
  View gout;  // [N,Lq,heads*dim]
  View value, locations, weights;
  Gradient gvalue, glocations, gweights;
  DeformLevel level[kMaxLevels];
  /// CUDA only, for a value gradient that is the same on every run: zeros [N,L,heads,dim] i64, and zeros [2] i32.
  /// Empty: the value's gradient is summed by floating-point atomics.
  View fixed, largest;
};
void deform_attention_backward_cpu(const DeformBackwardArgs& args);
void deform_attention_backward_cuda(const DeformBackwardArgs& args, StreamHandle stream);

struct DeformFusedArgs {
  View value;     // [N,L,heads*dim]
  View sampling;  // [N,L,heads*levels*points*3]
  View table_y[kMaxLevels];
  View table_x[kMaxLevels];  // no data: nothing is added
  View out;                  // [N,L,heads*dim]
  DeformLevel level[kMaxLevels];
  std::int64_t levels;
  std::int64_t heads;
  std::int64_t points;
};
/// The portable kernel, and the AVX-512 one for at most 16 samples a head and head sizes that are multiples of 16.
void deform_attention_fused_cpu(const DeformFusedArgs& args);
void deform_attention_fused_avx512(const DeformFusedArgs& args);
bool deform_attention_fused_fits_avx512(const DeformFusedArgs& args);
void deform_attention_fused_cuda(const DeformFusedArgs& args, StreamHandle stream);

}  // namespace visage::ops
