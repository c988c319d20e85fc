#include "autograd/tape.h"
#include "ops/conv/conv2d.h"
#include "ops/conv/max_pool2d_kernels.h"
#include "ops/dispatch.h"

namespace visage::ops {

Tensor max_pool2d(const Tensor& x, const MaxPool2dOptions& options) {
  check<ShapeError>(x.rank() == 4 && x.is_contiguous(), "max_pool2d: x must be contiguous [N,H,W,C]; got ", x.size());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "max_pool2d: no support for ", x.dtype());
  check<ShapeError>(options.kernel > 0 && options.stride > 0 && 2 * options.padding <= options.kernel,
                    "max_pool2d: padding must be at most half the kernel; kernel ", options.kernel, ", padding ",
                    options.padding);
  const auto length = [&](std::int64_t n) { return (n + 2 * options.padding - options.kernel) / options.stride + 1; };
  check<ShapeError>(length(x.size(1)) > 0 && length(x.size(2)) > 0, "max_pool2d: image smaller than the window; x ",
                    x.size());
  autograd::not_differentiable("max_pool2d", {x});
  Tensor y = Tensor::empty({x.size(0), length(x.size(1)), length(x.size(2)), x.size(3)}, x.dtype(), x.device());
  on_cpu("max_pool2d", x.device(), [&] {
    max_pool2d_detail::forward_cpu({x.view(), y.view(), options.kernel, options.stride, options.padding});
  });
  return y;
}

}  // namespace visage::ops
