#include "ops/random/splitmix.h"
#include "ops/random/uniform_kernels.h"
#include "tensor/cpu/parallel.h"

namespace visage::ops {

void uniform_cpu(const UniformArgs& args) {
  constexpr std::int64_t kGrain = 16 * 1024;
  const std::int64_t part = args.y.size.numel() / args.count;
  for (std::int64_t k = 0; k < args.count; ++k) {
    const std::uint64_t start = args.starts[k];
    float* const y = args.y.as<float>() + k * part;
    cpu::parallel_for(part, kGrain, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] = uniform_at(start, i);
    });
  }
}

}  // namespace visage::ops
