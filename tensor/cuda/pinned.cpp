#include "tensor/cuda/pinned.h"

#include "tensor/cuda/error.h"
#include "tensor/cuda/stall.h"
#include "tensor/cuda/stream.h"

namespace visage::cuda {
namespace {

void check_host_side(const char* what, const Tensor& x) {
  if (x.device().type == DeviceType::cuda) return;
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, x.view().data), "cudaPointerGetAttributes");
  visage::check<DeviceError>(attributes.type == cudaMemoryTypeHost, "copy_async: ", what,
                             " lies in pageable memory; make it with empty_pinned");
}

}  // namespace

Tensor empty_pinned(const Dims& size, DType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(size.numel()) * size_of(dtype);
  void* data = nullptr;
  detail::about_to_stall("cudaMallocHost");
  check(cudaMallocHost(&data, bytes > 0 ? bytes : 1), "cudaMallocHost");
  const std::shared_ptr<void> owner(data, [](void* memory) { warn(cudaFreeHost(memory), "cudaFreeHost"); });
  return Tensor::from_storage(std::make_shared<Storage>(data, bytes, Device{}, owner), 0, size,
                              contiguous_strides(size), dtype);
}

void copy_async(const Tensor& from, const Tensor& to) {
  visage::check<ShapeError>(from.size() == to.size() && from.is_contiguous() && to.is_contiguous(),
                            "copy_async: needs contiguous tensors of one size; got ", from.size(), " and ", to.size());
  visage::check<DTypeError>(from.dtype() == to.dtype(), "copy_async: needs one dtype; got ", from.dtype(), " and ",
                            to.dtype());
  visage::check<DeviceError>(from.device().type == DeviceType::cuda || to.device().type == DeviceType::cuda,
                             "copy_async: neither tensor is on a GPU");
  if (from.numel() == 0) return;
  check_host_side("from", from);
  check_host_side("to", to);
  check(cudaMemcpyAsync(to.view().data, from.view().data, from.nbytes(), cudaMemcpyDefault,
                        static_cast<cudaStream_t>(current_stream().raw)),
        "cudaMemcpyAsync");
}

}  // namespace visage::cuda
