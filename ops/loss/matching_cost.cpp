#include "ops/loss/matching_cost.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/loss/cross_entropy.h"
#include "ops/loss/loss_kernels.h"

namespace visage::ops {
namespace {

void check_masks(const char* op, const Tensor& logits, const Tensor& targets) {
  check<ShapeError>(logits.rank() == 2 && targets.rank() == 2 && logits.size(1) == targets.size(1) &&
                        logits.size(1) > 0 && logits.is_contiguous() && targets.is_contiguous(),
                    op, ": logits and targets must be contiguous [Q,P] and [G,P], P > 0; got ", logits.size(), " and ",
                    targets.size());
  check<DTypeError>(logits.dtype() == DType::f32 && targets.dtype() == DType::f32, op,
                    ": logits and targets must be f32; got ", logits.dtype(), " and ", targets.dtype());
  check<DeviceError>(targets.device() == logits.device(), op, ": logits and targets must be on one device");
  autograd::not_differentiable(op, {logits, targets});
}

/// A weight of 0 leaves its part out; class_cost may be empty.
Tensor combined_cost(const Tensor& logits, const Tensor& targets, const Tensor& class_cost,
                     const MatchingCostWeights& weights) {
  const std::int64_t queries = logits.size(0), instances = targets.size(0);
  Tensor cost = Tensor::empty({queries, instances}, DType::f32, logits.device());
  note_work(6.0 * static_cast<double>(cost.numel()) * static_cast<double>(logits.size(1)), logits, targets, class_cost,
            cost);
  on_device(
      logits.device(),
      [&] {
        Tensor ce = Tensor::zeros(cost.size()), dice = Tensor::zeros(cost.size());
        if (weights.mask != 0) sigmoid_ce_cost_cpu({logits.view(), targets.view(), ce.view()});
        if (weights.dice != 0) dice_cost_cpu({logits.view(), targets.view(), dice.view()});
        for (std::int64_t i = 0; i < cost.numel(); ++i) {
          const double classes = class_cost ? weights.classes * static_cast<double>(class_cost.data<float>()[i]) : 0;
          cost.data<float>()[i] = static_cast<float>(weights.mask * static_cast<double>(ce.data<float>()[i]) + classes +
                                                     weights.dice * static_cast<double>(dice.data<float>()[i]));
        }
      },
      [&](StreamHandle stream) {
        const std::int64_t floats = mask_cost_scratch(queries, instances, logits.size(1));
        const Tensor scratch = Tensor::empty({floats}, DType::f32, logits.device());
        combined_cost_cuda({logits.view(), targets.view(), class_cost ? class_cost.view() : View{}, cost.view(),
                            scratch.view(), weights.mask, weights.dice, weights.classes},
                           stream);
      });
  return cost;
}

}  // namespace

Tensor batch_sigmoid_ce_cost(const Tensor& logits, const Tensor& targets) {
  check_masks("batch_sigmoid_ce_cost", logits, targets);
  return combined_cost(logits, targets, {}, {.classes = 0, .mask = 1, .dice = 0});
}

Tensor batch_dice_cost(const Tensor& logits, const Tensor& targets) {
  check_masks("batch_dice_cost", logits, targets);
  return combined_cost(logits, targets, {}, {.classes = 0, .mask = 0, .dice = 1});
}

Tensor matching_cost(const Tensor& class_logits, const Tensor& labels, const Tensor& mask_logits,
                     const Tensor& mask_targets, const MatchingCostWeights& weights) {
  check_masks("matching_cost", mask_logits, mask_targets);
  const Tensor classes = class_cost(class_logits, labels);
  check<ShapeError>(classes.size() == Dims{mask_logits.size(0), mask_targets.size(0)},
                    "matching_cost: class and mask parts must be of the same queries and instances; got ",
                    classes.size(), " and ", Dims{mask_logits.size(0), mask_targets.size(0)});
  check<DeviceError>(classes.device() == mask_logits.device(), "matching_cost: all inputs must be on one device");
  return combined_cost(mask_logits, mask_targets, classes, weights);
}

Tensor class_cost(const Tensor& logits, const Tensor& labels) {
  check<ShapeError>(logits.rank() == 2 && logits.size(1) > 0 && logits.is_contiguous() && labels.rank() == 1,
                    "class_cost: logits must be contiguous [Q,K], K > 0, and labels [G]; got ", logits.size(), " and ",
                    labels.size());
  check<DTypeError>(logits.dtype() == DType::f32, "class_cost: logits must be f32; got ", logits.dtype());
  check<DeviceError>(labels.device() == logits.device(), "class_cost: logits and labels must be on one device");
  loss_detail::check_labels("class_cost", labels, logits.size(1));
  autograd::not_differentiable("class_cost", {logits});
  Tensor cost = Tensor::empty({logits.size(0), labels.size(0)}, DType::f32, logits.device());
  const ClassCostArgs args{logits.view(), labels.view(), cost.view()};
  note_work(5.0 * static_cast<double>(logits.numel()), logits, labels, cost);
  on_device(
      logits.device(), [&] { class_cost_cpu(args); }, [&](StreamHandle stream) { class_cost_cuda(args, stream); });
  return cost;
}

}  // namespace visage::ops
