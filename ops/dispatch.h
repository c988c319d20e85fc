#pragma once
// The only place of the op floor that knows whether the build has a CUDA backend.
#include "tensor/tensor.h"

#ifdef VISAGE_CUDA
#include "tensor/cuda/stream.h"
#endif

namespace visage::ops {

/// Runs cpu() or cuda(stream) according to the device of the data. The cuda call is not even compiled in a build
/// without the backend, so that its kernels need not be linked.
template <class Cpu, class Cuda>
void on_device(Device device, Cpu&& cpu, [[maybe_unused]] Cuda&& cuda) {
  if (device.type == DeviceType::cpu) return cpu();
#ifdef VISAGE_CUDA
  cuda(visage::cuda::current_stream());
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

/// For ops whose CUDA kernel does not exist yet: runs cpu() or refuses.
template <class Cpu>
void on_cpu(const char* op, Device device, Cpu&& cpu) {
  check<DeviceError>(device.type == DeviceType::cpu, op, ": has no CUDA kernel yet; use device cpu");
  cpu();
}

}  // namespace visage::ops
