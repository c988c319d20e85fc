#include "ops/shape/views.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"

namespace visage::ops {
namespace {

/// Adds gy to a window of the gradient of x, which is zero outside the window unless it has other contributions.
void accumulate_window(const Tensor& gy, const autograd::GradTarget& target, int axis, std::int64_t start) {
  const Tensor whole = target.buffer();
  const Tensor window = Tensor::alias(whole, gy.size(), whole.stride(), start * whole.stride()[axis]);
  const gradient_detail::Accumulate args{gy.view(), {window.view(), target.beta()}};
  if (target.beta() == 0) clear(whole);
  on_device(
      gy.device(), [&] { gradient_detail::accumulate_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
  target.done();
}

}  // namespace

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
  Tensor y = Tensor::alias(x, size, contiguous_strides(size));
  autograd::record("reshape", {&x, 1}, y, [from = x.size()](const Tensor& gy, Targets targets) {
    if (!targets[0].adopt(gy)) accumulate("reshape", Tensor::alias(gy, from, contiguous_strides(from)), targets, 0);
  });
  return y;
}

Tensor narrow(const Tensor& x, int axis, std::int64_t start, std::int64_t length) {
  if (axis < 0) axis += x.rank();
  check<ShapeError>(axis >= 0 && axis < x.rank() && start >= 0 && length >= 0 && start + length <= x.size(axis),
                    "narrow: axis ", axis, ", start ", start, ", length ", length, " of ", x.size());
  Dims size = x.size();
  size[axis] = length;
  Tensor y = Tensor::alias(x, size, x.stride(), start * x.stride()[axis]);
  autograd::record("narrow", {&x, 1}, y,
                   [=](const Tensor& gy, Targets targets) { accumulate_window(gy, targets[0], axis, start); });
  return y;
}

Tensor select(const Tensor& x, std::int64_t index) {
  Dims size;
  for (int i = 1; i < x.rank(); ++i) size.append(x.size(i));
  return reshape(narrow(x, 0, index, 1), size);
}

}  // namespace visage::ops
