#include "ops/norm/layer_norm.h"

#include "ops/dispatch.h"
#include "ops/gradient/targets.h"
#include "ops/norm/layer_norm_kernels.h"

namespace visage::ops {
namespace {

void check_inputs(const char* op, const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias) {
  check<ShapeError>(x.rank() >= 1 && x.size(-1) > 0 && x.is_contiguous(), op,
                    ": x must be [..., C], C > 0, and contiguous; size ", x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16 || x.dtype() == DType::f16, op,
                    ": x must be f32, bf16 or f16; got ", x.dtype());
  const Dims per_channel{x.size(-1)};
  check<ShapeError>(weight.size() == per_channel && bias.size() == per_channel, op, ": weight and bias must be [C]; x ",
                    x.size(), ", weight ", weight.size(), ", bias ", bias.size());
  check<ShapeError>(weight.is_contiguous() && bias.is_contiguous(), op, ": weight and bias must be contiguous");
  check<DTypeError>(weight.dtype() == DType::f32 && bias.dtype() == DType::f32, op,
                    ": weight and bias must be f32; got ", weight.dtype(), " and ", bias.dtype());
  check<DeviceError>(weight.device() == x.device() && bias.device() == x.device(), op,
                     ": x, weight and bias must be on one device");
  if (!residual) return;
  check<ShapeError>(residual.size() == x.size() && residual.is_contiguous(), op,
                    ": residual must be like x and contiguous; x ", x.size(), ", residual ", residual.size());
  check<DTypeError>(residual.dtype() == x.dtype() && residual.device() == x.device(), op,
                    ": residual must have the type and device of x");
}

/// Inputs in the order x, weight, bias and, if there is one, residual.
autograd::Backward make_backward(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& mean,
                                 const Tensor& rstd) {
  return [=](const Tensor& gy, Targets targets) {
    layer_norm_detail::Backward args{
        gy.view(), x.view(), view_or_empty(residual), weight.view(), mean.view(), rstd.view(), {}, {}, {}, {}, {}};
    args.gx = gradient_of(targets, 0);
    args.gweight = gradient_of(targets, 1);
    args.gbias = gradient_of(targets, 2);
    args.gresidual = gradient_of(targets, 3);
    note_work(16.0 * static_cast<double>(x.numel()), gy, x, residual, weight, args.gx.to, args.gresidual.to);
    on_device(
        x.device(), [&] { layer_norm_detail::backward_cpu(args); },
        [&](StreamHandle stream) {
          Tensor partial;
          if (args.gweight.to || args.gbias.to) {
            partial = Tensor::empty({2, layer_norm_detail::kSlices, x.size(-1)}, DType::f32, x.device());
          }
          args.partial = view_or_empty(partial);
          layer_norm_detail::backward_cuda(args, stream);
        });
  };
}

Tensor run(const char* op, const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
           const LayerNormOptions& options) {
  check_inputs(op, x, residual, weight, bias);
  const Tensor inputs[] = {x, weight, bias, residual};
  Tensor y = Tensor::empty(x.size(), x.dtype(), x.device());
  Tensor mean, rstd;
  if (autograd::needs_grad(inputs)) {
    const Dims rows{x.numel() / x.size(-1)};
    mean = Tensor::empty(rows, DType::f32, x.device());
    rstd = Tensor::empty(rows, DType::f32, x.device());
  }
  const layer_norm_detail::Forward args{x.view(), view_or_empty(residual), weight.view(),       bias.view(),
                                        y.view(), view_or_empty(mean),     view_or_empty(rstd), options.eps};
  note_work(8.0 * static_cast<double>(x.numel()), x, residual, weight, bias, y);
  on_device(
      x.device(), [&] { layer_norm_detail::forward_cpu(args); },
      [&](StreamHandle stream) { layer_norm_detail::forward_cuda(args, stream); });
  if (mean) autograd::record(op, inputs, y, make_backward(x, residual, weight, mean, rstd));
  return y;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const LayerNormOptions& options) {
  return run("layer_norm", x, {}, weight, bias, options);
}

Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                      const LayerNormOptions& options) {
  check<ShapeError>(static_cast<bool>(residual), "add_layer_norm: residual is empty; use layer_norm");
  return run("add_layer_norm", x, residual, weight, bias, options);
}

}  // namespace visage::ops
