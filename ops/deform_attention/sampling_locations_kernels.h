#pragma once
#include "ops/deform_attention/deform_attention_kernels.h"

namespace visage::ops {

/// Rows are the tokens of all images, columns = heads * levels * points * 2 with (x, y) innermost.
struct SamplingLocationsArgs {
  View from;    // [rows, columns] f32: offsets, or the gradient of the locations
  Gradient to;  // [rows, columns] f32: locations (beta 0), or the gradient of the offsets
  DeformLevel level[kMaxLevels];
  std::int64_t levels;
  std::int64_t points;
  std::int64_t rows;
  std::int64_t columns;
};

/// to = centre of the row's token + from / size of the column's level.
void sampling_locations_cpu(const SamplingLocationsArgs& args);
void sampling_locations_cuda(const SamplingLocationsArgs& args, StreamHandle stream);

/// to = beta * to + from / size of the column's level.
void sampling_locations_backward_cpu(const SamplingLocationsArgs& args);
void sampling_locations_backward_cuda(const SamplingLocationsArgs& args, StreamHandle stream);

}  // namespace visage::ops
