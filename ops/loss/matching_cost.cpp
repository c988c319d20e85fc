#include "ops/loss/matching_cost.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/loss/cross_entropy.h"
#include "ops/loss/loss_kernels.h"
#include "ops/shape/views.h"

namespace visage::ops {
namespace {

/// logits [N,Q,P], targets [G,P].
void check_masks(const char* op, const Tensor& logits, const Tensor& targets, const RowRanges& instances) {
  check<ShapeError>(logits.rank() == 3 && targets.rank() == 2 && logits.size(2) == targets.size(1) &&
                        logits.size(2) > 0 && logits.is_contiguous() && targets.is_contiguous(),
                    op, ": logits and targets must be contiguous [N,Q,P] and [G,P], P > 0; got ", logits.size(),
                    " and ", targets.size());
  check<ShapeError>(instances.items() == logits.size(0) && instances.rows() == targets.size(0), op, ": ",
                    instances.items(), " frames of ", instances.rows(), " instances for logits ", logits.size(),
                    " and targets ", targets.size());
  check<DTypeError>(logits.dtype() == DType::f32 && targets.dtype() == DType::f32, op,
                    ": logits and targets must be f32; got ", logits.dtype(), " and ", targets.dtype());
  check<DeviceError>(targets.device() == logits.device() && instances.starts().device() == logits.device(), op,
                     ": logits and targets must be on one device");
  autograd::not_differentiable(op, {logits, targets});
}

/// A weight of 0 leaves its part out; class_cost [N,Q,most] may be empty.
Tensor combined_cost(const Tensor& logits, const Tensor& targets, const RowRanges& instances, const Tensor& class_cost,
                     const MatchingCostWeights& weights) {
  const std::int64_t frames = logits.size(0), queries = logits.size(1), points = logits.size(2);
  Tensor cost = Tensor::empty({frames, queries, instances.most()}, DType::f32, logits.device());
  CombinedCostArgs args{logits.view(),
                        targets.view(),
                        instances.starts().view(),
                        class_cost ? class_cost.view() : View{},
                        cost.view(),
                        {},
                        weights.mask,
                        weights.dice,
                        weights.classes};
  note_work(6.0 * static_cast<double>(queries * instances.rows()) * static_cast<double>(points), logits, targets,
            class_cost, cost);
  on_device(
      logits.device(), [&] { combined_cost_cpu(args); },
      [&](StreamHandle stream) {
        const std::int64_t floats = frames * mask_cost_scratch(queries, instances.most(), points);
        const Tensor scratch = Tensor::empty({floats}, DType::f32, logits.device());
        args.scratch = scratch.view();
        combined_cost_cuda(args, stream);
      });
  return cost;
}

/// One of the mask costs of one frame: logits [Q,P], targets [G,P].
Tensor mask_cost(const char* op, const Tensor& logits, const Tensor& targets, const MatchingCostWeights& weights) {
  check<ShapeError>(logits.rank() == 2 && targets.rank() == 2, op, ": logits and targets must be [Q,P] and [G,P]; got ",
                    logits.size(), " and ", targets.size());
  const std::int64_t count = targets.size(0);
  const RowRanges instances({&count, 1}, logits.device());
  const Tensor frame = reshape(logits, {1, logits.size(0), logits.size(1)});
  check_masks(op, frame, targets, instances);
  return select(combined_cost(frame, targets, instances, {}, weights), 0);
}

/// logits [N,Q,K], labels [G] -> [N,Q,most].
Tensor class_costs(const char* op, const Tensor& logits, const Tensor& labels, const RowRanges& instances) {
  check<ShapeError>(logits.rank() == 3 && logits.size(0) == instances.items() && logits.size(2) > 0 &&
                        logits.is_contiguous() && labels.size() == Dims{instances.rows()},
                    op, ": class logits must be contiguous [", instances.items(), ",Q,K], K > 0, and labels [",
                    instances.rows(), "]; got ", logits.size(), " and ", labels.size());
  check<DTypeError>(logits.dtype() == DType::f32, op, ": logits must be f32; got ", logits.dtype());
  check<DeviceError>(labels.device() == logits.device() && instances.starts().device() == logits.device(), op,
                     ": logits and labels must be on one device");
  loss_detail::check_labels(op, labels, logits.size(2));
  autograd::not_differentiable(op, {logits});
  Tensor cost = Tensor::empty({logits.size(0), logits.size(1), instances.most()}, DType::f32, logits.device());
  const ClassCostArgs args{logits.view(), labels.view(), instances.starts().view(), cost.view()};
  note_work(5.0 * static_cast<double>(logits.numel()), logits, labels, cost);
  on_device(
      logits.device(), [&] { class_cost_cpu(args); }, [&](StreamHandle stream) { class_cost_cuda(args, stream); });
  return cost;
}

}  // namespace

Tensor batch_sigmoid_ce_cost(const Tensor& logits, const Tensor& targets) {
  return mask_cost("batch_sigmoid_ce_cost", logits, targets, {.classes = 0, .mask = 1, .dice = 0});
}

Tensor batch_dice_cost(const Tensor& logits, const Tensor& targets) {
  return mask_cost("batch_dice_cost", logits, targets, {.classes = 0, .mask = 0, .dice = 1});
}

Tensor class_cost(const Tensor& logits, const Tensor& labels) {
  check<ShapeError>(logits.rank() == 2 && labels.rank() == 1, "class_cost: logits must be [Q,K] and labels [G]; got ",
                    logits.size(), " and ", labels.size());
  const std::int64_t count = labels.size(0);
  const RowRanges instances({&count, 1}, logits.device());
  return select(class_costs("class_cost", reshape(logits, {1, logits.size(0), logits.size(1)}), labels, instances), 0);
}

Tensor matching_cost(const Tensor& class_logits, const Tensor& mask_logits, const RowRanges& instances,
                     const Tensor& labels, const Tensor& mask_targets, const MatchingCostWeights& weights) {
  check_masks("matching_cost", mask_logits, mask_targets, instances);
  check<ShapeError>(class_logits.rank() == 3 && class_logits.size(1) == mask_logits.size(1),
                    "matching_cost: class logits must be [N,Q,K] of the queries of mask logits; got ",
                    class_logits.size(), " and ", mask_logits.size());
  check<DeviceError>(class_logits.device() == mask_logits.device(), "matching_cost: all inputs must be on one device");
  return combined_cost(mask_logits, mask_targets, instances,
                       class_costs("matching_cost", class_logits, labels, instances), weights);
}

}  // namespace visage::ops
