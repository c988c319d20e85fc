#include "tensor/transfer.h"

#include <cstring>

#ifdef VISAGE_CUDA
#include "tensor/cuda/copy.h"
#endif

namespace visage {

Tensor to_device(const Tensor& x, Device device) {
  if (x.device() == device) return x;
  check<ShapeError>(x.is_contiguous(), "to_device: x must be contiguous; size ", x.size(), ", stride ", x.stride());
  Tensor copy = Tensor::empty(x.size(), x.dtype(), device);
  copy_into(copy, x);
  return copy;
}

void copy_into(const Tensor& to, const Tensor& from) {
  check<ShapeError>(to.size() == from.size() && to.is_contiguous() && from.is_contiguous(),
                    "copy_into: needs contiguous tensors of one size; from ", from.size(), " to ", to.size());
  check<DTypeError>(to.dtype() == from.dtype(), "copy_into: from ", from.dtype(), " to ", to.dtype());
  to.storage()->bump_version();
  if (to.numel() == 0) return;
#ifdef VISAGE_CUDA
  if (to.device().type == DeviceType::cuda || from.device().type == DeviceType::cuda) return cuda::copy(to, from);
#endif
  std::memcpy(to.view().data, from.view().data, to.nbytes());
}

float item(const Tensor& x) {
  check<ShapeError>(x.numel() == 1, "item: x must have one element; size ", x.size());
  check<DTypeError>(x.dtype() == DType::f32, "item: x must be f32; got ", x.dtype());
  return *to_device(x, {}).data<float>();
}

}  // namespace visage
