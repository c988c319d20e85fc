#include "ops/loss/mask_loss.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/loss/loss_kernels.h"

namespace visage::ops {
namespace {

Tensor run(const char* op, const Tensor& logits, const Tensor& targets, double num_masks,
           void (*forward)(const MaskLossArgs&), void (*backward)(const MaskLossBackwardArgs&)) {
  check<ShapeError>(
      logits.rank() == 2 && logits.is_contiguous() && targets.size() == logits.size() && targets.is_contiguous(), op,
      ": logits and targets must be contiguous [M,P]; got ", logits.size(), " and ", targets.size());
  check<DTypeError>(logits.dtype() == DType::f32 && targets.dtype() == DType::f32, op,
                    ": logits and targets must be f32; got ", logits.dtype(), " and ", targets.dtype());
  check(num_masks > 0, op, ": num_masks must be positive; got ", num_masks);
  autograd::not_differentiable(op, {targets});
  Tensor loss = Tensor::empty({1}, DType::f32, logits.device());
  on_cpu(op, logits.device(), [&] { forward({logits.view(), targets.view(), loss.view(), num_masks}); });
  autograd::record(op, std::span(&logits, 1), loss, [=](const Tensor& g, std::span<const autograd::GradTarget> to) {
    on_cpu(op, g.device(), [&] { backward({g.view(), logits.view(), targets.view(), gradient_of(to, 0), num_masks}); });
  });
  return loss;
}

}  // namespace

Tensor sigmoid_ce_loss(const Tensor& logits, const Tensor& targets, double num_masks) {
  return run("sigmoid_ce_loss", logits, targets, num_masks, sigmoid_ce_loss_cpu, sigmoid_ce_loss_backward_cpu);
}

Tensor dice_loss(const Tensor& logits, const Tensor& targets, double num_masks) {
  return run("dice_loss", logits, targets, num_masks, dice_loss_cpu, dice_loss_backward_cpu);
}

}  // namespace visage::ops
