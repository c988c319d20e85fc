#include "ops/track/memory_read_kernels.h"

#include <algorithm>

namespace visage::ops {

void memory_read_cpu(const MemoryReadArgs& args) {
  const std::int64_t frames = args.bank.size[0], slots = args.bank.size[1], depth = args.bank.size[2];
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    float* out = args.out.as<float>() + slot * depth;
    std::fill(out, out + depth, 0.f);
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      const float weight = args.weights.as<float>()[frame * slots + slot];
      const float* embedding = args.bank.as<float>() + (frame * slots + slot) * depth;
      for (std::int64_t d = 0; d < depth; ++d) out[d] += weight * embedding[d];
    }
  }
}

}  // namespace visage::ops
