#include "tensor/cuda/copy.h"

#include "tensor/cuda/error.h"
#include "tensor/cuda/stream.h"

#include <algorithm>
#include <cstring>

namespace visage::cuda {
namespace {

cudaMemcpyKind direction(DeviceType from, DeviceType to) {
  if (from == DeviceType::cpu) return cudaMemcpyHostToDevice;
  return to == DeviceType::cpu ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
}

}  // namespace

Tensor copy_to(const Tensor& x, Device device) {
  visage::check<ShapeError>(x.is_contiguous(), "copy_to: x must be contiguous; size ", x.size(), ", stride ",
                            x.stride());
  Tensor copy = Tensor::empty(x.size(), x.dtype(), device);
  const View from = x.view();
  const View to = copy.view();
  if (x.numel() == 0) return copy;
  if (from.device == DeviceType::cpu && to.device == DeviceType::cpu) {
    std::memcpy(to.data, from.data, x.nbytes());
    return copy;
  }
  const StreamHandle stream = current_stream();
  check(cudaMemcpyAsync(to.data, from.data, x.nbytes(), direction(from.device, to.device),
                        static_cast<cudaStream_t>(stream.raw)),
        "cudaMemcpy");
  if (from.device == DeviceType::cpu || to.device == DeviceType::cpu) synchronize(stream);
  return copy;
}

void clear(void* data, std::size_t bytes) {
  check(cudaMemsetAsync(data, 0, bytes, static_cast<cudaStream_t>(current_stream().raw)), "cudaMemset");
}

void fill_ones(float* data, std::int64_t count) {
  static const float one = 1;  // lives on: the copy may be read after this function has returned
  const auto stream = static_cast<cudaStream_t>(current_stream().raw);
  // The first element comes from the host; then what is there is doubled.
  for (std::int64_t filled = 0; filled < count;) {
    const std::int64_t next = filled == 0 ? 1 : std::min(filled, count - filled);
    check(cudaMemcpyAsync(data + filled, filled == 0 ? &one : data, static_cast<std::size_t>(next) * sizeof(float),
                          filled == 0 ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice, stream),
          "cudaMemcpy");
    filled += next;
  }
}

}  // namespace visage::cuda
