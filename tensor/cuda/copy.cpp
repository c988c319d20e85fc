#include "tensor/cuda/copy.h"

#include "tensor/cuda/error.h"
#include "tensor/cuda/graph.h"
#include "tensor/cuda/stall.h"
#include "tensor/cuda/stream.h"

#include <algorithm>

namespace visage::cuda {
namespace {

cudaMemcpyKind direction(DeviceType from, DeviceType to) {
  if (from == DeviceType::cpu) return cudaMemcpyHostToDevice;
  return to == DeviceType::cpu ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
}

}  // namespace

void copy(const Tensor& to, const Tensor& from) {
  const View source = from.view(), target = to.view();
  const StreamHandle stream = current_stream();
  // A graph would keep the address of the host memory, and nobody the memory itself.
  visage::check<CudaError>(
      (source.device == DeviceType::cuda && target.device == DeviceType::cuda) || !is_capturing(stream),
      "copy: between host and device inside a graph; use pinned memory and copy_async");
  // The driver stages ordinary host memory, and waits for its turn in the stream when its own buffers do not hold it
  // all.
  if (source.device == DeviceType::cpu) detail::about_to_stall("cudaMemcpy from ordinary host memory");
  check(cudaMemcpyAsync(target.data, source.data, from.nbytes(), direction(source.device, target.device),
                        static_cast<cudaStream_t>(stream.raw)),
        "cudaMemcpy");
  // From ordinary host memory the driver has staged the bytes by now.
  if (target.device == DeviceType::cpu) synchronize(stream);
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
