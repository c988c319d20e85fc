#pragma once
#include "tensor/view.h"

#include <cstdint>

namespace visage::ops {

/// y contiguous f32.
void uniform_cpu(std::uint64_t start, const View& y);
void uniform_cuda(std::uint64_t start, const View& y, StreamHandle stream);

}  // namespace visage::ops
