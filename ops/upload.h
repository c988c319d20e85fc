#pragma once
#include "ops/upload_kernels.h"
#include "tensor/tensor.h"

#include <span>

#ifdef VISAGE_CUDA
#include "tensor/cuda/stream.h"
#endif

namespace visage::ops {

/// A list of plain values as bytes of GPU memory, in the order of the current stream and without waiting for it. For
/// the small tables of launches.
template <class T>
Tensor uploaded(std::span<const T> values, [[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  const std::size_t packets = (values.size_bytes() + 15) / 16;
  const Tensor bytes = Tensor::empty({static_cast<std::int64_t>(16 * packets)}, DType::u8, device);
  upload_cuda(bytes.view().data, values.data(), values.size_bytes(), visage::cuda::current_stream());
  return bytes;
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

}  // namespace visage::ops
