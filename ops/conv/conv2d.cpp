#include "ops/conv/conv2d.h"

#include "ops/conv/conv2d_kernels.h"
#include "ops/dispatch.h"
#include "ops/gradient/targets.h"
#include "ops/rounded_weight.h"
#include "tensor/cpu/onednn.h"
#include "tensor/cuda/cudnn.h"

namespace visage::ops {
namespace {

std::int64_t output_length(std::int64_t length, std::int64_t kernel, int stride, int padding) {
  return (length + 2 * padding - kernel) / stride + 1;
}

/// y = activation(conv(x, weight) + bias [+ y]) on the GPU: in one kernel where cuDNN has it, else the convolution
/// alone, in the type of x, and then the rest.
inline void run_cudnn(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y,
                      const Conv2dOptions& o, StreamHandle stream) {
  const Tensor w = rounded_weight("conv2d", weight, x.dtype());
  const Tensor b = bias ? rounded_weight("conv2d", bias, x.dtype()) : Tensor{};
  const float beta = o.accumulate_into ? 1.f : 0.f;
  if (cuda::cudnn::run(cuda::cudnn::Convolution{x.view(), w.view(), view_or_empty(b), y.view(), o.stride, o.padding,
                                                o.activation, beta},
                       stream))
    return;
  const Tensor product = Tensor::empty(y.size(), x.dtype(), y.device());
  const bool done =
      cuda::cudnn::run(cuda::cudnn::Convolution{x.view(), w.view(), {}, product.view(), o.stride, o.padding}, stream);
  check<CudaError>(done, "conv2d: cuDNN has no kernel for x ", x.size(), ", weight ", weight.size(), " of ", x.dtype());
  conv2d_detail::epilogue_cuda(
      {product.view(), view_or_empty(bias), y.view(), o.activation == Activation::relu, beta != 0}, stream);
}

/// Operations of a convolution with the result y, or of one of its gradients.
double products(const Tensor& y, const Tensor& weight) {
  return 2.0 * static_cast<double>(y.numel()) *
         static_cast<double>(weight.numel() / std::max<std::int64_t>(weight.size(0), 1));
}

void run(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y, const Conv2dOptions& o) {
  note_work(products(y, weight), x, weight, bias, y, o.accumulate_into);
  on_device(
      x.device(),
      [&] {
        cpu::onednn::run(cpu::onednn::Convolution{x, weight, bias, y, o.stride, o.padding, o.activation,
                                                  o.accumulate_into ? 1.f : 0.f});
      },
      [&](StreamHandle stream) { run_cudnn(x, weight, bias, y, o, stream); });
}

/// gx = gradient by x, in the type of gx or of g.
void run_data_gradient(const Tensor& g, const Tensor& weight, const Tensor& gx, const Conv2dOptions& o) {
  note_work(products(g, weight), g, weight, gx);
  on_device(
      g.device(),
      [&] {
        cpu::onednn::run(cpu::onednn::ConvolutionBackwardData{g, weight, gx, o.stride, o.padding});
      },
      [&](StreamHandle stream) {
        const Tensor w = rounded_weight("conv2d", weight, g.dtype());
        const bool done = cuda::cudnn::run(
            cuda::cudnn::ConvolutionBackwardData{g.view(), w.view(), gx.view(), o.stride, o.padding}, stream);
        check<CudaError>(done, "conv2d: cuDNN has no data gradient for gy ", g.size(), ", weight ", weight.size(),
                         " of ", g.dtype());
      });
}

/// oneDNN writes a data gradient in any type and only overwrites; cuDNN writes it in the type of its factors.
void accumulate_data(const Tensor& g, const Tensor& weight, const Conv2dOptions& options, Targets targets) {
  const Tensor buffer = targets[0].buffer();
  const bool on_gpu = g.device().type == DeviceType::cuda;
  const DType dtype = on_gpu ? g.dtype() : buffer.dtype();
  const bool direct = targets[0].beta() == 0 && dtype == buffer.dtype();
  const Tensor gx = direct ? buffer : Tensor::empty(buffer.size(), dtype, buffer.device());
  run_data_gradient(g, weight, gx, options);
  direct ? targets[0].done() : accumulate("conv2d", gx, targets, 0);
}

/// The weight gradient of the GPU: in the type of its factors, and then added to the buffer unless it is the buffer.
inline void accumulate_weight_cudnn(const Tensor& x, const Tensor& g, const Conv2dOptions& o, Targets targets,
                                    StreamHandle stream) {
  const Tensor buffer = targets[1].buffer();
  const bool direct = targets[1].beta() == 0 && buffer.dtype() == g.dtype();
  const Tensor gweight = direct ? buffer : Tensor::empty(buffer.size(), g.dtype(), buffer.device());
  const bool done = cuda::cudnn::run(
      cuda::cudnn::ConvolutionBackwardWeights{x.view(), g.view(), gweight.view(), o.stride, o.padding}, stream);
  check<CudaError>(done, "conv2d: cuDNN has no weight gradient for x ", x.size(), ", gy ", g.size(), " of ", x.dtype());
  direct ? targets[1].done() : accumulate("conv2d", gweight, targets, 1);
}

void accumulate_weight(const Tensor& x, const Tensor& g, const Conv2dOptions& options, Targets targets) {
  if (x.numel() == 0) {  // nothing is summed
    if (targets[1].beta() == 0) clear(targets[1].buffer());
    return targets[1].done();
  }
  on_device(
      x.device(),
      [&] {
        const Tensor gweight = targets[1].buffer();
        const float beta = targets[1].beta();
        targets[1].done();
        cpu::onednn::run(cpu::onednn::ConvolutionBackwardWeights{x, g, gweight, options.stride, options.padding, beta});
      },
      [&](StreamHandle stream) { accumulate_weight_cudnn(x, g, options, targets, stream); });
}

/// The convolutions of the backward run in the type of x, which is what the forward computed with.
autograd::Backward conv2d_backward(const Tensor& x, const Tensor& weight, const Tensor& relu_result,
                                   const Conv2dOptions& options) {
  return [=](const Tensor& gy, Targets targets) {
    const Tensor before = relu_result ? relu_gradient("conv2d", gy, relu_result, x.dtype()) : gy;
    accumulate_rows("conv2d", before, targets, 2);
    const Tensor g = contiguous_as("conv2d", before, x.dtype());
    if (wants(targets, 0)) accumulate_data(g, weight, options, targets);
    if (!wants(targets, 1)) return;
    note_work(products(g, weight), x, g, weight);
    accumulate_weight(x, g, options, targets);
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
  run(rounded, weight, bias, y, options);
  const Tensor inputs[] = {x, weight, bias};
  if (autograd::needs_grad(inputs)) {
    const Tensor relu_result = options.activation == Activation::relu ? y : Tensor{};
    autograd::record("conv2d", inputs, y, conv2d_backward(rounded, weight, relu_result, options));
  }
  return y;
}

}  // namespace visage::ops
