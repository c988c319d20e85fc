#pragma once
// The only place of the op floor that knows whether the build has a CUDA backend, and where the profiler sees the ops.
#include "tensor/recorder.h"
#include "tensor/tensor.h"

#include <source_location>
#include <span>

#ifdef VISAGE_CUDA
#include "tensor/cuda/device.h"
#include "tensor/cuda/stream.h"
#endif

namespace visage::ops {

/// Runs cpu() or cuda(stream) according to the device of the data. The cuda call is not even compiled in a build
/// without the backend, so that its kernels need not be linked. A profile lists it under the name of the function that
/// calls it.
template <class Cpu, class Cuda>
void on_device(Device device, Cpu&& cpu, [[maybe_unused]] Cuda&& cuda,
               const std::source_location& where = std::source_location::current()) {
  const OpScope scope(where);
  if (device.type == DeviceType::cpu) return cpu();
#ifdef VISAGE_CUDA
  check<DeviceError>(visage::cuda::current_device() == device.index, "data on cuda:", device.index,
                     " while this thread works on cuda:", visage::cuda::current_device(),
                     "; choose the device with use_device before the first tensor is made");
  cuda(visage::cuda::current_stream());
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

/// Bytes of a tensor, or of several; 0 for one that is left out.
inline double bytes_of(const Tensor& x) { return x ? static_cast<double>(x.nbytes()) : 0; }
inline double bytes_of(const View& x) {
  return x ? static_cast<double>(x.size.numel()) * static_cast<double>(size_of(x.dtype)) : 0;
}
inline double bytes_of(std::span<const Tensor> list) {
  double bytes = 0;
  for (const Tensor& x : list) bytes += bytes_of(x);
  return bytes;
}

/// Tells a profile what the next op of this thread has to do: its floating-point operations, and what it reads or
/// writes.
template <class... Tensors>
void note_work(double flops, const Tensors&... moved) {
  if (Recorder* const recorder = Recorder::current()) recorder->announce({(0.0 + ... + bytes_of(moved)), flops});
}

}  // namespace visage::ops
