#pragma once
#include "tensor/view.h"

namespace visage::ops {

struct MemoryReadArgs {
  View bank;     // f32 [W, K, D]
  View weights;  // f32 [W, K]
  View out;      // f32 [K, D]
};

void memory_read_cpu(const MemoryReadArgs& args);
void memory_read_cuda(const MemoryReadArgs& args, StreamHandle stream);

}  // namespace visage::ops
