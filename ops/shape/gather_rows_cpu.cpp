#include "ops/shape/gather_rows_kernels.h"

#include <algorithm>

namespace visage::ops::gather_rows_detail {

void forward_cpu(const Forward& args) {
  const std::int64_t columns = args.y.size[1];
  for (std::int64_t i = 0; i < args.count; ++i)
    std::copy_n(args.x.as<float>() + args.indices[i] * args.x.stride[0], columns, args.y.as<float>() + i * columns);
}

void backward_cpu(const Backward& args) {
  const std::int64_t columns = args.gy.size[1];
  float* const to = args.gx.to.as<float>();
  if (args.gx.beta == 0) std::fill_n(to, args.gx.to.size.numel(), 0.f);
  for (std::int64_t i = 0; i < args.count; ++i) {
    const float* from = args.gy.as<float>() + i * columns;
    float* row = to + args.indices[i] * columns;
    for (std::int64_t c = 0; c < columns; ++c) row[c] += from[c];
  }
}

}  // namespace visage::ops::gather_rows_detail
