#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

#ifdef VISAGE_CUDA
#include "tensor/cuda/copy.h"
#endif

namespace visage {

Storage::Storage(std::size_t bytes, Device device) : bytes_(bytes), device_(device), owner_(&allocator_for(device)) {
  data_ = owner_->allocate(bytes);
}

Storage::Storage(void* data, std::size_t bytes, Device device, std::shared_ptr<void> keep_alive)
    : data_(data), bytes_(bytes), device_(device), keep_alive_(std::move(keep_alive)) {}

Storage::~Storage() {
  if (owner_) owner_->release(data_, bytes_);
}

Tensor Tensor::empty(const Dims& size, DType dtype, Device device) {
  const auto bytes = static_cast<std::size_t>(size.numel()) * size_of(dtype);
  return from_storage(std::make_shared<Storage>(bytes, device), 0, size, contiguous_strides(size), dtype);
}

Tensor Tensor::zeros(const Dims& size, DType dtype, Device device) {
  Tensor result = empty(size, dtype, device);
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) {
    cuda::clear(result.view().data, result.nbytes());
    return result;
  }
#endif
  std::memset(result.view().data, 0, result.nbytes());
  return result;
}

Tensor Tensor::ones(const Dims& size, Device device) {
  Tensor result = empty(size, DType::f32, device);
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) {
    cuda::fill_ones(result.data<float>(), result.numel());
    return result;
  }
#endif
  std::fill_n(result.data<float>(), result.numel(), 1.f);
  return result;
}

Tensor Tensor::from(const Dims& size, const float* values) {
  Tensor result = empty(size);
  std::memcpy(result.view().data, values, result.nbytes());
  return result;
}

Tensor Tensor::from_storage(std::shared_ptr<Storage> storage, std::size_t byte_offset, const Dims& size,
                            const Dims& stride, DType dtype) {
  std::int64_t last = 0;
  for (int i = 0; i < size.rank; ++i) last += (size.d[i] - 1) * stride.d[i];
  const bool is_empty = size.numel() == 0;
  if (is_empty) byte_offset = 0;  // its place may lie behind the end, as that of the second of two parts without rows
  const std::size_t end = is_empty ? 0 : byte_offset + (static_cast<std::size_t>(last) + 1) * size_of(dtype);
  check<ShapeError>(end <= storage->bytes(), "Tensor: size ", size, " with stride ", stride, " needs byte ", end,
                    " of a storage of ", storage->bytes());
  Tensor result;
  result.impl_ = std::make_shared<Impl>(Impl{std::move(storage), byte_offset, size, stride, dtype, nullptr});
  return result;
}

Tensor Tensor::alias(const Tensor& base, const Dims& size, const Dims& stride, std::int64_t offset) {
  const std::size_t byte_offset = base.impl_->byte_offset + static_cast<std::size_t>(offset) * size_of(base.dtype());
  return from_storage(base.impl_->storage, byte_offset, size, stride, base.dtype());
}

}  // namespace visage
