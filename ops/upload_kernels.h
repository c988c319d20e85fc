#pragma once
#include "tensor/view.h"

#include <cstddef>

namespace visage::ops {

/// Copies host memory to the GPU in the order of the stream; the source may change when the function returns. `to` is
/// aligned to 16 bytes and the memory there goes on for the rest of the last 16.
void upload_cuda(void* to, const void* from, std::size_t bytes, StreamHandle stream);

}  // namespace visage::ops
