#include "ops/loss/matching_cost.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/loss/cross_entropy.h"
#include "ops/loss/loss_kernels.h"

namespace visage::ops {
namespace {

Tensor mask_cost(const char* op, const Tensor& logits, const Tensor& targets, void (*kernel)(const MaskCostArgs&)) {
  check<ShapeError>(logits.rank() == 2 && targets.rank() == 2 && logits.size(1) == targets.size(1) &&
                        logits.size(1) > 0 && logits.is_contiguous() && targets.is_contiguous(),
                    op, ": logits and targets must be contiguous [Q,P] and [G,P], P > 0; got ", logits.size(), " and ",
                    targets.size());
  check<DTypeError>(logits.dtype() == DType::f32 && targets.dtype() == DType::f32, op,
                    ": logits and targets must be f32; got ", logits.dtype(), " and ", targets.dtype());
  autograd::not_differentiable(op, {logits, targets});
  Tensor cost = Tensor::empty({logits.size(0), targets.size(0)}, DType::f32, logits.device());
  on_cpu(op, logits.device(), [&] { kernel({logits.view(), targets.view(), cost.view()}); });
  return cost;
}

}  // namespace

Tensor batch_sigmoid_ce_cost(const Tensor& logits, const Tensor& targets) {
  return mask_cost("batch_sigmoid_ce_cost", logits, targets, sigmoid_ce_cost_cpu);
}

Tensor batch_dice_cost(const Tensor& logits, const Tensor& targets) {
  return mask_cost("batch_dice_cost", logits, targets, dice_cost_cpu);
}

Tensor class_cost(const Tensor& logits, const Tensor& labels) {
  check<ShapeError>(logits.rank() == 2 && logits.size(1) > 0 && logits.is_contiguous() && labels.rank() == 1,
                    "class_cost: logits must be contiguous [Q,K], K > 0, and labels [G]; got ", logits.size(), " and ",
                    labels.size());
  check<DTypeError>(logits.dtype() == DType::f32, "class_cost: logits must be f32; got ", logits.dtype());
  loss_detail::check_labels("class_cost", labels, logits.size(1));
  autograd::not_differentiable("class_cost", {logits});
  Tensor cost = Tensor::empty({logits.size(0), labels.size(0)}, DType::f32, logits.device());
  on_cpu("class_cost", logits.device(), [&] { class_cost_cpu({logits.view(), labels.view(), cost.view()}); });
  return cost;
}

}  // namespace visage::ops
