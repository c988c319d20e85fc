#include "ops/random/splitmix.h"
#include "ops/random/uniform_kernels.h"
#include "tensor/cpu/parallel.h"

namespace visage::ops {

void uniform_cpu(std::uint64_t start, const View& y) {
  constexpr std::int64_t kGrain = 16 * 1024;
  cpu::parallel_for(y.size.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y.as<float>()[i] = uniform_at(start, i);
  });
}

}  // namespace visage::ops
