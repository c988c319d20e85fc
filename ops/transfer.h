#pragma once
#include "tensor/tensor.h"

#include <span>

#ifdef VISAGE_CUDA
#include "tensor/cuda/copy.h"
#endif

namespace visage::ops {

/// x on `device`: itself, or a copy without gradient history. A copy to the CPU waits for the device, one from the CPU
/// does not. x is contiguous.
inline Tensor moved_to(const Tensor& x, [[maybe_unused]] Device device) {
  if (x.device() == device) return x;
#ifdef VISAGE_CUDA
  return visage::cuda::copy_to(x, device);
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

/// A list of plain values as bytes of GPU memory, without waiting for the GPU.
template <class T>
Tensor uploaded(std::span<const T> values, [[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  const Tensor bytes = Tensor::empty({static_cast<std::int64_t>(values.size_bytes())}, DType::u8, device);
  visage::cuda::upload(bytes.view().data, values.data(), values.size_bytes());
  return bytes;
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

}  // namespace visage::ops
