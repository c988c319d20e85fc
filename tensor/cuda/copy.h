#pragma once
#include "tensor/tensor.h"

namespace visage::cuda {

/// Copy of a contiguous tensor on `device`, without gradient history; returns a new tensor also when it is there
/// already. A copy to the host has arrived when the function returns; a copy from the host has left its source. Between
/// devices and for later kernels the current stream gives the order. throws ShapeError unless x is contiguous.
[[nodiscard]] Tensor copy_to(const Tensor& x, Device device);

/// Sets `bytes` bytes of device memory to zero, in the order of the current stream.
void clear(void* data, std::size_t bytes);

/// Sets `count` floats of device memory to 1, in the order of the current stream and without waiting for it.
void fill_ones(float* data, std::int64_t count);

}  // namespace visage::cuda
