#pragma once
#include "ops/shape/row_ranges.h"

namespace visage::ops {

/// Costs of assigning query q to instance g (DETR, Carion et al., section 3.1; mask terms as in Mask2Former). Matching
/// is not differentiable: all of them throw AutogradError if a gradient of an input is wanted, ShapeError or DTypeError
/// if the parts do not fit together.

/// Mean over points of the sigmoid cross-entropy, as (sum softplus(x_q) - x_q . t_g) / P: the two logarithms of the
/// definition are one row sum and a matrix product. logits [Q,P] and targets [G,P] f32 contiguous, P > 0 -> [Q,G].
[[nodiscard]] Tensor batch_sigmoid_ce_cost(const Tensor& logits, const Tensor& targets);

/// 1 - (2 p_q . t_g + 1) / (sum p_q + sum t_g + 1), p = sigmoid(x). Otherwise as batch_sigmoid_ce_cost.
[[nodiscard]] Tensor batch_dice_cost(const Tensor& logits, const Tensor& targets);

/// -softmax(x_q)[label_g]. logits [Q,K] f32, labels [G] i64 -> [Q,G].
/// throws Error if a label is not a class. On a GPU nobody waits to see the labels: one that is not a class costs NaN,
/// which the assignment reports.
[[nodiscard]] Tensor class_cost(const Tensor& logits, const Tensor& labels);

struct MatchingCostWeights {
  double classes = 2, mask = 5, dice = 5;
};

/// The weighted sum of the three for N frames, mask logits read once: what the matcher minimises. The G instances of
/// all frames are given frame by frame. class_logits [N,Q,K], mask_logits [N,Q,P], labels [G], mask_targets [G,P] ->
/// [N,Q,instances.most()], 0 in the columns beyond a frame's instances.
[[nodiscard]] Tensor matching_cost(const Tensor& class_logits, const Tensor& mask_logits, const RowRanges& instances,
                                   const Tensor& labels, const Tensor& mask_targets,
                                   const MatchingCostWeights& weights = {});

}  // namespace visage::ops
