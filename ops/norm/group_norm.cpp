#include "ops/norm/group_norm.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"
#include "ops/norm/group_norm_kernels.h"

namespace visage::ops {
namespace {

using group_norm_detail::Pixels;

Pixels pixels_of(const char* op, const Tensor& t) {
  check<ShapeError>(t.rank() >= 3 && t.stride()[-1] == 1, op, ": needs [N,...,C] with contiguous channels; got ",
                    t.size());
  check<DTypeError>(t.dtype() == DType::f32 || t.dtype() == DType::bf16, op, ": no support for ", t.dtype());
  for (int i = 1; i + 2 < t.rank(); ++i)
    check<ShapeError>(t.size(i) == 1 || t.stride()[i] == t.stride()[i + 1] * t.size(i + 1), op,
                      ": pixels must have one pitch; size ", t.size(), ", stride ", t.stride());
  const std::int64_t images = t.size(0), channels = t.size(-1);
  const std::int64_t rows = images * channels == 0 ? 0 : t.numel() / images / channels;
  return {t.view().data, t.dtype(), images, rows, channels, t.stride()[0], t.stride()[-2]};
}

Tensor output_like(const char* op, const Tensor& x, const Tensor& out) {
  if (!out) return Tensor::empty(x.size(), x.dtype(), x.device());
  check<ShapeError>(out.size(0) == x.size(0) && out.size(-1) == x.size(-1) && out.numel() == x.numel(), op,
                    ": out must hold ", x.size(), "; got ", out.size());
  return out;
}

/// Pixels of an optional tensor.
Pixels pixels_or_none(const char* op, const Tensor& t) { return t ? pixels_of(op, t) : Pixels{}; }

/// Mean and 1 / deviation of every image and group, [N, groups]; empty when no backward will ask for them.
struct GroupStatistics {
  Tensor mean, rstd;
};

/// Room for two sums of every channel and slice, and one value of every channel.
Tensor partial_sums(const Pixels& pixels, Device device) {
  const std::int64_t slices = group_norm_detail::slices_for(pixels.images, pixels.rows);
  return Tensor::empty({pixels.images, 2 * slices + 1, pixels.channels}, DType::f32, device);
}

/// Room to add them up over slices and images.
Tensor sum_scratch(const Pixels& pixels, Device device) {
  const std::int64_t rows = pixels.images * group_norm_detail::slices_for(pixels.images, pixels.rows);
  return Tensor::empty({gradient_detail::slices_for(rows, pixels.channels), pixels.channels}, DType::f32, device);
}

ScaleShift normalising_map(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& options,
                           const GroupStatistics& kept) {
  const Pixels pixels = pixels_of("group_norm", x);
  const Dims per_channel{pixels.channels};
  check<ShapeError>(weight.size() == per_channel && bias.size() == per_channel,
                    "group_norm: weight and bias must be [C]; x ", x.size(), ", weight ", weight.size());
  check<ShapeError>(options.groups > 0 && pixels.channels % options.groups == 0, "group_norm: C = ", pixels.channels,
                    " is no multiple of ", options.groups, " groups");
  const Dims size{pixels.images, pixels.channels};
  ScaleShift result{Tensor::empty(size, DType::f32, x.device()), Tensor::empty(size, DType::f32, x.device())};
  group_norm_detail::Statistics args{pixels,
                                     weight.data<float>(),
                                     bias.data<float>(),
                                     result.scale.data<float>(),
                                     result.shift.data<float>(),
                                     kept.mean ? kept.mean.data<float>() : nullptr,
                                     kept.rstd ? kept.rstd.data<float>() : nullptr,
                                     options.groups,
                                     options.eps,
                                     nullptr};
  note_work(3.0 * static_cast<double>(x.numel()), x, weight, bias);
  on_device(
      x.device(), [&] { group_norm_detail::statistics_cpu(args); },
      [&](StreamHandle stream) {
        const Tensor partial = partial_sums(pixels, x.device());
        args.partial = partial.data<float>();
        group_norm_detail::statistics_cuda(args, stream);
      });
  return result;
}

Tensor apply_map(const Tensor& x, const Tensor& scale, const Tensor& shift, const ChannelAffineOptions& options) {
  const Pixels from = pixels_of("channel_affine", x);
  const bool per_image = scale.rank() == 2;
  const Dims expected = per_image ? Dims{from.images, from.channels} : Dims{from.channels};
  check<ShapeError>(scale.size() == expected && shift.size() == expected,
                    "channel_affine: scale and shift must be [C] or [N,C]; x ", x.size(), ", scale ", scale.size());
  check<ShapeError>(scale.stride() == shift.stride() && scale.stride()[-1] == 1,
                    "channel_affine: scale and shift must have contiguous channels and one pitch; strides ",
                    scale.stride(), " and ", shift.stride());
  check<ShapeError>(!options.residual || (options.residual.size() == x.size() && options.residual.is_contiguous() &&
                                          options.residual.dtype() == x.dtype()),
                    "channel_affine: the residual must be contiguous and like x; x ", x.size(), ", residual ",
                    options.residual ? options.residual.size() : Dims{});
  const Tensor y = output_like("channel_affine", x, options.out);
  const group_norm_detail::Affine args{from,
                                       pixels_of("channel_affine", y),
                                       scale.data<float>(),
                                       shift.data<float>(),
                                       per_image ? scale.stride()[0] : 0,
                                       options.activation == Activation::relu,
                                       pixels_or_none("channel_affine", options.residual)};
  note_work(2.0 * static_cast<double>(x.numel()), x, scale, shift, options.residual, y);
  on_device(
      x.device(), [&] { group_norm_detail::affine_cpu(args); },
      [&](StreamHandle stream) { group_norm_detail::affine_cuda(args, stream); });
  return y;
}

autograd::Backward group_norm_backward(const Tensor& x, const Tensor& weight, const GroupStatistics& kept,
                                       const Tensor& relu_result, int groups) {
  return [=](const Tensor& gy, Targets targets) {
    const Gradient gx = gradient_of(targets, 0), gweight = gradient_of(targets, 1), gbias = gradient_of(targets, 2);
    const Pixels pixels = pixels_of("group_norm", x);
    group_norm_detail::Backward args{.x = pixels,
                                     .gy = pixels_of("group_norm", gy),
                                     .relu_result = pixels_or_none("group_norm", relu_result),
                                     .weight = weight.data<float>(),
                                     .mean = kept.mean.data<float>(),
                                     .rstd = kept.rstd.data<float>(),
                                     .groups = groups,
                                     .gx = gx,
                                     .gweight = gweight,
                                     .gbias = gbias,
                                     .partial = nullptr,
                                     .maps = nullptr,
                                     .sum_scratch = nullptr};
    note_work(10.0 * static_cast<double>(gy.numel()), gy, x, gx.to);
    on_device(
        gy.device(), [&] { group_norm_detail::backward_cpu(args); },
        [&](StreamHandle stream) {
          const Tensor partial = partial_sums(pixels, gy.device()), scratch = sum_scratch(pixels, gy.device());
          const Tensor maps = Tensor::empty({2, pixels.images, groups}, DType::f32, gy.device());
          args.partial = partial.data<float>();
          args.maps = maps.data<float>();
          args.sum_scratch = scratch.data<float>();
          group_norm_detail::backward_cuda(args, stream);
        });
  };
}

}  // namespace

ScaleShift group_norm_scale_shift(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const GroupNormOptions& options) {
  autograd::not_differentiable("group_norm_scale_shift", {x, weight, bias});
  return normalising_map(x, weight, bias, options, {});
}

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& options) {
  if (options.out) autograd::not_differentiable("group_norm with out", {x, weight, bias, options.out});
  const Tensor inputs[] = {x, weight, bias};
  GroupStatistics kept;
  if (autograd::needs_grad(inputs) && options.groups > 0) {
    const Dims size{x.size(0), options.groups};
    kept = {Tensor::empty(size, DType::f32, x.device()), Tensor::empty(size, DType::f32, x.device())};
  }
  const ScaleShift map = normalising_map(x, weight, bias, options, kept);
  Tensor y = apply_map(x, map.scale, map.shift, {options.activation, options.out, {}});
  if (kept.mean) {
    const Tensor relu_result = options.activation == Activation::relu ? y : Tensor{};
    autograd::record("group_norm", inputs, y, group_norm_backward(x, weight, kept, relu_result, options.groups));
  }
  return y;
}

Tensor channel_affine(const Tensor& x, const Tensor& scale, const Tensor& shift, const ChannelAffineOptions& options) {
  if (options.out)
    autograd::not_differentiable("channel_affine with out", {x, scale, shift, options.out, options.residual});
  if (scale.rank() == 2) autograd::not_differentiable("channel_affine by a scale and shift an image", {scale, shift});
  Tensor y = apply_map(x, scale, shift, options);
  const Tensor inputs[] = {x, options.residual, scale, shift};
  if (!autograd::needs_grad(inputs)) return y;
  const Tensor relu_result = options.activation == Activation::relu ? y : Tensor{};
  // x is kept only for the gradient of the scale.
  const Tensor kept = autograd::needs_grad({&inputs[2], 2}) ? x : Tensor{};
  autograd::record("channel_affine", inputs, y, [kept, scale, relu_result](const Tensor& gy, Targets targets) {
    const Gradient gx = gradient_of(targets, 0), gresidual = gradient_of(targets, 1);
    const Gradient gscale = gradient_of(targets, 2), gshift = gradient_of(targets, 3);
    const std::int64_t stride = scale.rank() == 2 ? scale.stride()[0] : 0;
    const Pixels pixels = pixels_of("channel_affine", gy);
    group_norm_detail::AffineBackward args{pixels_or_none("channel_affine", kept),
                                           pixels,
                                           pixels_or_none("channel_affine", relu_result),
                                           scale.data<float>(),
                                           stride,
                                           gx,
                                           gresidual,
                                           gscale,
                                           gshift,
                                           nullptr,
                                           nullptr};
    note_work(4.0 * static_cast<double>(gy.numel()), gy, relu_result, gx.to, gresidual.to);
    on_device(
        gy.device(), [&] { group_norm_detail::affine_backward_cpu(args); },
        [&](StreamHandle stream) {
          Tensor partial, scratch;
          if (gscale || gshift) {
            partial = partial_sums(pixels, gy.device());
            scratch = sum_scratch(pixels, gy.device());
            args.partial = partial.data<float>();
            args.sum_scratch = scratch.data<float>();
          }
          group_norm_detail::affine_backward_cuda(args, stream);
        });
  });
  return y;
}

}  // namespace visage::ops
