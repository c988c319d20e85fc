#include "ops/elementwise/add_per_row_kernels.h"
#include "tensor/cpu/parallel.h"

namespace visage::ops::add_per_row_detail {

void add_per_row_cpu(const AddPerRow& args) {
  const std::int64_t length = args.x.size[-1];
  cpu::parallel_for(args.shift.size.numel(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* const row = args.x.as<float>() + r * length;
      const float shift = args.shift.as<const float>()[r];
      for (std::int64_t i = 0; i < length; ++i) row[i] += shift;
    }
  });
}

}  // namespace visage::ops::add_per_row_detail
