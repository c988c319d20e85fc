#include "ops/conv/conv2d.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"

namespace visage::ops {
namespace {

std::int64_t output_length(std::int64_t length, std::int64_t kernel, int stride, int padding) {
  return (length + 2 * padding - kernel) / stride + 1;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  check<ShapeError>(x.rank() == 4 && weight.rank() == 4 && x.size(3) == weight.size(3),
                    "conv2d: x must be [N,H,W,C] and weight [O,kH,kW,C]; x ", x.size(), ", weight ", weight.size());
  check<ShapeError>(x.is_contiguous() && weight.is_contiguous(), "conv2d: x and weight must be contiguous");
  check<ShapeError>(!bias || bias.size() == Dims{weight.size(0)}, "conv2d: bias must be [O]; weight ", weight.size());
  check<DTypeError>(weight.dtype() == DType::f32, "conv2d: weight must be f32; got ", weight.dtype());
  const Dims size{x.size(0), output_length(x.size(1), weight.size(1), options.stride, options.padding),
                  output_length(x.size(2), weight.size(2), options.stride, options.padding), weight.size(0)};
  check<ShapeError>(size[1] > 0 && size[2] > 0, "conv2d: the kernel is larger than the padded image; x ", x.size(),
                    ", weight ", weight.size());
  autograd::not_differentiable("conv2d", {x, weight, bias});

  const Tensor y = options.accumulate_into ? options.accumulate_into : Tensor::empty(size, options.dtype, x.device());
  check<ShapeError>(y.size() == size && y.is_contiguous(), "conv2d: the residual must be ", size, "; got ", y.size());
  on_cpu("conv2d", x.device(), [&] {
    cpu::onednn::run(cpu::onednn::Convolution{x, weight, bias, y, options.stride, options.padding, options.activation,
                                              options.accumulate_into ? 1.f : 0.f});
  });
  return y;
}

}  // namespace visage::ops
