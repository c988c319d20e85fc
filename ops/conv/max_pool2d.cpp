#include "ops/conv/max_pool2d.h"

#include "ops/conv/max_pool2d_kernels.h"
#include "ops/dispatch.h"
#include "ops/gradient/targets.h"

namespace visage::ops {
namespace {

autograd::Backward max_pool2d_backward(const Tensor& x, const MaxPool2dOptions& options) {
  check<AutogradError>(options.kernel <= max_pool2d_detail::kLargestKernel,
                       "max_pool2d: no gradient for kernels above ", max_pool2d_detail::kLargestKernel, "; got ",
                       options.kernel);
  return [=](const Tensor& gy, Targets targets) {
    const Gradient gx = gradient_of(targets, 0);
    const Tensor place = Tensor::empty(gy.size(), DType::u8, gy.device());
    const max_pool2d_detail::Backward args{x.view(),       gy.view(),      place.view(),   gx,
                                           options.kernel, options.stride, options.padding};
    note_work(0, x, gy, args.gx.to);
    on_device(
        gy.device(), [&] { max_pool2d_detail::backward_cpu(args); },
        [&](StreamHandle stream) { max_pool2d_detail::backward_cuda(args, stream); });
  };
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  check<ShapeError>(x.rank() == 4 && x.is_contiguous(), "max_pool2d: x must be contiguous [N,H,W,C]; got ", x.size());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "max_pool2d: no support for ", x.dtype());
  check<ShapeError>(options.kernel > 0 && options.stride > 0 && 2 * options.padding <= options.kernel,
                    "max_pool2d: padding must be at most half the kernel; kernel ", options.kernel, ", padding ",
                    options.padding);
  const auto length = [&](std::int64_t n) { return (n + 2 * options.padding - options.kernel) / options.stride + 1; };
  check<ShapeError>(length(x.size(1)) > 0 && length(x.size(2)) > 0, "max_pool2d: image smaller than the window; x ",
                    x.size());
  Tensor y = Tensor::empty({x.size(0), length(x.size(1)), length(x.size(2)), x.size(3)}, x.dtype(), x.device());
  const max_pool2d_detail::Forward args{x.view(), y.view(), options.kernel, options.stride, options.padding};
  note_work(static_cast<double>(y.numel() * options.kernel * options.kernel), x, y);
  on_device(
      x.device(), [&] { max_pool2d_detail::forward_cpu(args); },
      [&](StreamHandle stream) { max_pool2d_detail::forward_cuda(args, stream); });
  if (autograd::needs_grad({&x, 1})) autograd::record("max_pool2d", {&x, 1}, y, max_pool2d_backward(x, options));
  return y;
}

}  // namespace visage::ops
