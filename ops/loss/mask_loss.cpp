#include "ops/loss/mask_loss.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/loss/loss_kernels.h"

namespace visage::ops {
namespace {

Tensor run(const char* op, MaskLoss kind, const Tensor& logits, const Tensor& targets, double num_masks) {
  check<ShapeError>(
      logits.rank() == 2 && logits.is_contiguous() && targets.size() == logits.size() && targets.is_contiguous(), op,
      ": logits and targets must be contiguous [M,P]; got ", logits.size(), " and ", targets.size());
  check<DTypeError>(logits.dtype() == DType::f32 && targets.dtype() == DType::f32, op,
                    ": logits and targets must be f32; got ", logits.dtype(), " and ", targets.dtype());
  check<DeviceError>(targets.device() == logits.device(), op, ": logits and targets must be on one device");
  check(num_masks > 0, op, ": num_masks must be positive; got ", num_masks);
  autograd::not_differentiable(op, {targets});
  Tensor loss = Tensor::empty({1}, DType::f32, logits.device()), sums;
  MaskLossArgs args{logits.view(), targets.view(), loss.view(), num_masks, {}};
  note_work(8.0 * static_cast<double>(logits.numel()), logits, targets);
  on_device(
      logits.device(), [&] { kind == MaskLoss::dice ? dice_loss_cpu(args) : sigmoid_ce_loss_cpu(args); },
      [&](StreamHandle stream) {
        sums = Tensor::empty({logits.size(0), mask_loss_slices(logits.size(1)), 2}, DType::f64, logits.device());
        args.sums = sums.view();
        mask_loss_cuda(kind, args, stream);
      });
  autograd::record(op, std::span(&logits, 1), loss, [=](const Tensor& g, std::span<const autograd::GradTarget> to) {
    MaskLossBackwardArgs back{g.view(), logits.view(), targets.view(), gradient_of(to, 0), num_masks, {}};
    note_work(8.0 * static_cast<double>(logits.numel()), logits, targets, back.glogits.to);
    on_device(
        g.device(), [&] { kind == MaskLoss::dice ? dice_loss_backward_cpu(back) : sigmoid_ce_loss_backward_cpu(back); },
        [&](StreamHandle stream) {
          back.sums = sums.view();
          mask_loss_backward_cuda(kind, back, stream);
        });
  });
  return loss;
}

}  // namespace

Tensor sigmoid_ce_loss(const Tensor& logits, const Tensor& targets, double num_masks) {
  return run("sigmoid_ce_loss", MaskLoss::sigmoid_ce, logits, targets, num_masks);
}

Tensor dice_loss(const Tensor& logits, const Tensor& targets, double num_masks) {
  return run("dice_loss", MaskLoss::dice, logits, targets, num_masks);
}

}  // namespace visage::ops
