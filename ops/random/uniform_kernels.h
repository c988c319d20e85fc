#pragma once
#include "tensor/view.h"

#include <cstdint>

namespace visage::ops {

/// y contiguous f32, in `count` equal parts. `starts` is in host memory and is read before the functions return.
struct UniformArgs {
  const std::uint64_t* starts;
  std::int64_t count;
  View y;
};
void uniform_cpu(const UniformArgs& args);
void uniform_cuda(const UniformArgs& args, StreamHandle stream);

}  // namespace visage::ops
