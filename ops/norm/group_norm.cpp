#include "ops/norm/group_norm.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/norm/group_norm_kernels.h"

#include <cmath>

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

}  // namespace

ScaleShift group_norm_scale_shift(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const GroupNormOptions& options) {
  const Pixels pixels = pixels_of("group_norm", x);
  const Dims per_channel{pixels.channels};
  check<ShapeError>(weight.size() == per_channel && bias.size() == per_channel,
                    "group_norm: weight and bias must be [C]; x ", x.size(), ", weight ", weight.size());
  check<ShapeError>(options.groups > 0 && pixels.channels % options.groups == 0, "group_norm: C = ", pixels.channels,
                    " is no multiple of ", options.groups, " groups");
  autograd::not_differentiable("group_norm", {x, weight, bias});
  const Dims size{pixels.images, pixels.channels};
  ScaleShift result{Tensor::empty(size, DType::f32, x.device()), Tensor::empty(size, DType::f32, x.device())};
  on_cpu("group_norm", x.device(), [&] {
    group_norm_detail::statistics_cpu({pixels, weight.data<float>(), bias.data<float>(), result.scale.data<float>(),
                                       result.shift.data<float>(), options.groups, options.eps});
  });
  return result;
}

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNormOptions& options) {
  const ScaleShift map = group_norm_scale_shift(x, weight, bias, options);
  return channel_affine(x, map.scale, map.shift, {options.activation, options.out});
}

Tensor channel_affine(const Tensor& x, const Tensor& scale, const Tensor& shift, const ChannelAffineOptions& options) {
  const Pixels from = pixels_of("channel_affine", x);
  const bool per_image = scale.rank() == 2;
  const Dims expected = per_image ? Dims{from.images, from.channels} : Dims{from.channels};
  check<ShapeError>(scale.size() == expected && shift.size() == expected,
                    "channel_affine: scale and shift must be [C] or [N,C]; x ", x.size(), ", scale ", scale.size());
  autograd::not_differentiable("channel_affine", {x, scale, shift});
  const Tensor y = output_like("channel_affine", x, options.out);
  on_cpu("channel_affine", x.device(), [&] {
    group_norm_detail::affine_cpu({from, pixels_of("channel_affine", y), scale.data<float>(), shift.data<float>(),
                                   per_image ? from.channels : 0, options.activation == Activation::relu});
  });
  return y;
}

ScaleShift frozen_batch_norm_scale_shift(const Tensor& weight, const Tensor& bias, const Tensor& mean,
                                         const Tensor& variance, float eps) {
  check<ShapeError>(weight.size() == bias.size() && weight.size() == mean.size() && weight.size() == variance.size(),
                    "frozen_batch_norm: weight, bias, mean and variance must be [C]; weight ", weight.size());
  autograd::not_differentiable("frozen_batch_norm", {weight, bias});
  ScaleShift result{Tensor::empty(weight.size()), Tensor::empty(weight.size())};
  on_cpu("frozen_batch_norm", weight.device(), [&] {
    for (std::int64_t c = 0; c < weight.numel(); ++c) {
      const float scale = weight.data<float>()[c] / std::sqrt(variance.data<float>()[c] + eps);
      result.scale.data<float>()[c] = scale;
      result.shift.data<float>()[c] = bias.data<float>()[c] - mean.data<float>()[c] * scale;
    }
  });
  return result;
}

}  // namespace visage::ops
