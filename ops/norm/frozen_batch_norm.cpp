#include "ops/dispatch.h"
#include "ops/gradient/targets.h"
#include "ops/norm/frozen_batch_norm_kernels.h"
#include "ops/norm/group_norm.h"

namespace visage::ops {
namespace {

void add_product(const Tensor& gy, const Tensor& factor, float sign, Targets targets, std::size_t i) {
  if (!wants(targets, i)) return;
  const frozen_batch_norm_detail::Product args{gy.view(), factor.view(), sign, gradient_of(targets, i)};
  on_device(
      gy.device(), [&] { frozen_batch_norm_detail::product_cpu(args); },
      [&](StreamHandle stream) { frozen_batch_norm_detail::product_cuda(args, stream); });
}

}  // namespace

ScaleShift frozen_batch_norm_scale_shift(const Tensor& weight, const Tensor& bias, const Tensor& mean,
                                         const Tensor& variance, float eps) {
  check<ShapeError>(weight.size() == bias.size() && weight.size() == mean.size() && weight.size() == variance.size(),
                    "frozen_batch_norm: weight, bias, mean and variance must be [C]; weight ", weight.size());
  autograd::not_differentiable("frozen_batch_norm by its statistics", {mean, variance});
  const auto like_weight = [&] { return Tensor::empty(weight.size(), DType::f32, weight.device()); };
  ScaleShift result{like_weight(), like_weight()};
  const Tensor rstd = like_weight();
  const frozen_batch_norm_detail::Fold args{weight.view(),       bias.view(),         mean.view(), variance.view(),
                                            result.scale.view(), result.shift.view(), rstd.view(), eps};
  on_device(
      weight.device(), [&] { frozen_batch_norm_detail::fold_cpu(args); },
      [&](StreamHandle stream) { frozen_batch_norm_detail::fold_cuda(args, stream); });
  autograd::record("frozen_batch_norm scale", {&weight, 1}, result.scale,
                   [rstd](const Tensor& gy, Targets targets) { add_product(gy, rstd, 1, targets, 0); });
  const Tensor of_shift[] = {bias, result.scale};
  autograd::record("frozen_batch_norm shift", of_shift, result.shift, [mean](const Tensor& gy, Targets targets) {
    accumulate("frozen_batch_norm shift", gy, targets, 0);
    add_product(gy, mean, -1, targets, 1);
  });
  return result;
}

}  // namespace visage::ops
