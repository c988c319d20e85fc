#pragma once
#include "tensor/view.h"

namespace visage::ops {

inline constexpr int kMaskBlock = 16;  // output pixels of a column that are handled together

/// Bilinear taps along one axis, padded to whole blocks by repeating the last.
struct AxisTaps {
  const std::int32_t* lower;
  const std::int32_t* upper;
  const float* weight;  // of the upper one
  /// Per block: 1 when all its taps lie within kMaskBlock elements from lower[first of the block].
  const std::uint8_t* narrow;
  std::int64_t in;
  std::int64_t out;
};

/// Inner loops over one column. Buffers hold whole blocks and can be read one block beyond their end.
struct ColumnKernels {
  /// out[i] = (1 - weight[i]) in[lower[i]] + weight[i] in[upper[i]] for blocks [first, last).
  void (*resample)(const AxisTaps& taps, const float* in, std::int64_t first, std::int64_t last, float* out);
  /// Sets bit at + i for every x[i] > 0, i < count; the bits were 0.
  void (*positive_bits)(const float* x, std::int64_t count, std::uint64_t* words, std::int64_t at);
  /// Adds the sum and the number of sigmoids above 0.5.
  void (*quality)(const float* x, std::int64_t count, double* sum, std::int64_t* above);
};
const ColumnKernels& portable_column_kernels();
const ColumnKernels& avx512_column_kernels();

/// Result of one query; bits has room for output height * width bits, cleared.
struct MaskOutputRow {
  std::uint64_t* bits;  // null: the query has no positive logit and is skipped
  double quality_sum;
  std::int64_t quality_count;
};
struct MaskOutputArgs {
  View logits;  // [Q,h,w]
  std::int64_t padded_height, padded_width;
  std::int64_t image_height, image_width;
  std::int64_t output_height, output_width;
  MaskOutputRow* rows;
};
void mask_output_cpu(const MaskOutputArgs& args, const ColumnKernels& kernels);

inline constexpr int kMaskGroup = 32;  // columns of the image or the output that one CUDA block takes

struct MaskBatchArgs {
  View logits;  // [Q,h,w]
  std::int64_t padded_height, padded_width;
  std::int64_t image_height, image_width;
  std::int64_t output_height, output_width;
  View bits, quality_sum, quality_count, seen;    // as in MaskBatch
  View partial_sum, partial_count, partial_seen;  // f64, i32, i32 [Q, groups] scratch
};
void mask_batch_cuda(const MaskBatchArgs& args, StreamHandle stream);
bool any_positive_cpu(const float* logits, std::int64_t count);

}  // namespace visage::ops
