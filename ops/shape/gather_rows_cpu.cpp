#include "ops/shape/gather_rows_kernels.h"

#include <algorithm>
#include <cstring>

namespace visage::ops::gather_rows_detail {

void forward_cpu(const Forward& args) {
  const std::size_t size = size_of(args.x.dtype), row = args.y.size[1] * size, pitch = args.x.stride[0] * size;
  if (row == 0) return;
  for (std::int64_t i = 0; i < args.y.size[0]; ++i)
    std::memcpy(args.y.as<char>() + i * row, args.x.as<char>() + args.indices.as<std::int64_t>()[i] * pitch, row);
}

void backward_cpu(const Backward& args) {
  const std::int64_t columns = args.gy.size[1];
  float* const to = args.gx.to.as<float>();
  if (args.gx.beta == 0) std::fill_n(to, args.gx.to.size.numel(), 0.f);
  for (std::int64_t i = 0; i < args.gy.size[0]; ++i) {
    const float* from = args.gy.as<float>() + i * columns;
    float* row = to + args.indices.as<std::int64_t>()[i] * columns;
    for (std::int64_t c = 0; c < columns; ++c) row[c] += from[c];
  }
}

}  // namespace visage::ops::gather_rows_detail
