#pragma once
#include "ops/gradient/gradient.h"
#include "tensor/view.h"

namespace visage::ops {

struct MaskPoolArgs {
  View features;  // [N,L,C] f32 or bf16
  View bits;      // words [N,Q,ceil(L/64)]
  View scale;     // [N,C] or no data
  View shift;     // of the same pitch
  View pooled;    // [N,Q,C]
  View counts;    // i64 [N,Q]
};
void mask_pool_cpu(const MaskPoolArgs& args);
inline constexpr int kMostPoolMaps = 4;
/// Of up to kMostPoolMaps maps, which agree in N, Q, C and the dtype of the features. partial: f32 [splits,N,Q,C]
/// scratch of each, the sums of each part of the pixels.
void mask_pool_cuda(const MaskPoolArgs* args, const View* partial, int maps, StreamHandle stream);
/// Whether it multiplies on tensor cores (if all maps do): bf16 features in rows of aligned eights.
bool mask_pool_fits_mma(const MaskPoolArgs& args);
/// Queries a block of it owns, in f32 and on tensor cores, and channels in both.
inline constexpr std::int64_t kMaskPoolQueries = 64, kMaskPoolMmaQueries = 128, kMaskPoolChannels = 64;
namespace mask_pool_detail {

/// What the blocks of a map are given.
struct PoolMap {
  const void* features;
  std::int64_t batch_stride, row_stride, pixels;
  const std::uint64_t* bits;
  float* partial;
  unsigned first_block;  // along the first axis of the grid, which has splits * N blocks of every map
  int splits;
  bool vectors;  // rows are aligned to packets of four
  const float *scale, *shift;
  std::int64_t scale_stride;
  float* pooled;
  std::int64_t* counts;
};
/// The maps, one after the other. The pointers among them are not kernel arguments of their own.
struct PoolMaps {
  PoolMap map[kMostPoolMaps];
  int count, images, queries, channels;
  unsigned blocks;
};
/// The first half of mask_pool_cuda.
void sum_mma_cuda(const PoolMaps& maps, StreamHandle stream);

}  // namespace mask_pool_detail

struct MaskPoolBackwardArgs {
  View gpooled;        // [N,Q,C]
  View bits;           // words [N,Q,ceil(L/64)]
  View counts;         // i64 [N,Q]
  Gradient gfeatures;  // [N,L,C]
};
void mask_pool_backward_cpu(const MaskPoolBackwardArgs& args);
void mask_pool_backward_cuda(const MaskPoolBackwardArgs& args, StreamHandle stream);

}  // namespace visage::ops
