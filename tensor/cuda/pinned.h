#pragma once
#include "tensor/tensor.h"

namespace visage::cuda {

/// Uninitialised contiguous CPU tensor in page-locked memory, which the GPU copies from and to while the host goes on.
/// Making and releasing one waits for the device: make it once and keep it.
[[nodiscard]] Tensor empty_pinned(const Dims& size, DType dtype = DType::f32);

/// Queues a copy on the current stream and returns at once. One of the two is on a GPU, the other there too or pinned;
/// both are contiguous, of one size and dtype. Both must stay alive, and the source unchanged, until the copy is done:
/// record an Event behind it and wait for that. Can be captured into a graph.
/// throws ShapeError, DTypeError, DeviceError for tensors that do not fit or host memory that is not pinned.
void copy_async(const Tensor& from, const Tensor& to);

}  // namespace visage::cuda
