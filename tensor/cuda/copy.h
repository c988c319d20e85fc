#pragma once
#include "tensor/tensor.h"

namespace visage::cuda {

/// Copies the bytes of `from` to `to`, contiguous tensors of one size and type of which at least one is on a GPU. A
/// copy to the host has arrived when the function returns; a copy from ordinary host memory has left its source (for
/// pinned memory: copy_async). Between devices and for later kernels the current stream gives the order.
void copy(const Tensor& to, const Tensor& from);

/// Sets `bytes` bytes of device memory to zero, in the order of the current stream.
void clear(void* data, std::size_t bytes);

/// Sets `count` floats of device memory to 1, in the order of the current stream and without waiting for it.
void fill_ones(float* data, std::int64_t count);

}  // namespace visage::cuda
