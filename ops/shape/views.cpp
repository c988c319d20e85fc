#include "ops/shape/views.h"

#include "autograd/tape.h"

namespace visage::ops {

Tensor reshape(const Tensor& x, Dims size) {
  std::int64_t known = 1;
  int inferred = -1;
  for (int i = 0; i < size.rank; ++i) {
    if (size[i] >= 0)
      known *= size[i];
    else
      inferred = i;
  }
  if (inferred >= 0 && known > 0) size[inferred] = x.numel() / known;
  check<ShapeError>(size.numel() == x.numel(), "reshape: cannot see ", x.size(), " as ", size);
  check<ShapeError>(x.is_contiguous(), "reshape: x must be contiguous; size ", x.size(), ", stride ", x.stride());
  autograd::not_differentiable("reshape", {x});
  return Tensor::alias(x, size, contiguous_strides(size));
}

Tensor narrow(const Tensor& x, int axis, std::int64_t start, std::int64_t length) {
  if (axis < 0) axis += x.rank();
  check<ShapeError>(axis >= 0 && axis < x.rank() && start >= 0 && length >= 0 && start + length <= x.size(axis),
                    "narrow: axis ", axis, ", start ", start, ", length ", length, " of ", x.size());
  autograd::not_differentiable("narrow", {x});
  Dims size = x.size();
  size[axis] = length;
  return Tensor::alias(x, size, x.stride(), start * x.stride()[axis]);
}

}  // namespace visage::ops
