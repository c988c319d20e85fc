#include "ops/conv/conv2d.h"

#include "ops/dispatch.h"
#include "ops/gradient/targets.h"
#include "tensor/cpu/onednn.h"

#include <cstring>

namespace visage::ops {
namespace {

std::int64_t output_length(std::int64_t length, std::int64_t kernel, int stride, int padding) {
  return (length + 2 * padding - kernel) / stride + 1;
}

void accumulate_data(const Tensor& g, const Tensor& weight, const Conv2dOptions& options, Targets targets) {
  const Tensor buffer = targets[0].buffer();
  const bool add = targets[0].beta() != 0;  // oneDNN can only overwrite
  const Tensor gx = add ? Tensor::empty(buffer.size(), buffer.dtype(), buffer.device()) : buffer;
  cpu::onednn::run(cpu::onednn::ConvolutionBackwardData{g, weight, gx, options.stride, options.padding});
  add ? accumulate("conv2d", gx, targets, 0) : targets[0].done();
}

void accumulate_weight(const Tensor& x, const Tensor& g, const Conv2dOptions& options, Targets targets) {
  const Tensor gweight = targets[1].buffer();
  const float beta = targets[1].beta();
  targets[1].done();
  if (x.numel() > 0)
    return cpu::onednn::run(
        cpu::onednn::ConvolutionBackwardWeights{x, g, gweight, options.stride, options.padding, beta});
  if (beta == 0) std::memset(gweight.view().data, 0, gweight.nbytes());
}

/// The convolutions of the backward run in the type of x, which is what the forward computed with.
autograd::Backward conv2d_backward(const Tensor& x, const Tensor& weight, const Tensor& relu_result,
                                   const Conv2dOptions& options) {
  return [=](const Tensor& gy, Targets targets) {
    on_cpu("conv2d", gy.device(), [&] {
      const Tensor before = relu_result ? relu_gradient("conv2d", gy, relu_result, x.dtype()) : gy;
      accumulate_rows("conv2d", before, targets, 2);
      const Tensor g = contiguous_as("conv2d", before, x.dtype());
      if (wants(targets, 0)) accumulate_data(g, weight, options, targets);
      if (wants(targets, 1)) accumulate_weight(x, g, options, targets);
    });
  };
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
  if (options.accumulate_into)
    autograd::not_differentiable("conv2d with accumulate_into", {x, weight, bias, options.accumulate_into});

  Tensor y = options.accumulate_into ? options.accumulate_into : Tensor::empty(size, options.dtype, x.device());
  check<ShapeError>(y.size() == size && y.is_contiguous(), "conv2d: the residual must be ", size, "; got ", y.size());
  const Tensor rounded = product_input("conv2d", x);
  on_cpu("conv2d", x.device(), [&] {
    cpu::onednn::run(cpu::onednn::Convolution{rounded, weight, bias, y, options.stride, options.padding,
                                              options.activation, options.accumulate_into ? 1.f : 0.f});
  });
  const Tensor inputs[] = {x, weight, bias};
  if (autograd::needs_grad(inputs)) {
    const Tensor relu_result = options.activation == Activation::relu ? y : Tensor{};
    autograd::record("conv2d", inputs, y, conv2d_backward(rounded, weight, relu_result, options));
  }
  return y;
}

}  // namespace visage::ops
