#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Sigmoid cross-entropy of sampled mask logits (Mask2Former, Cheng et al., section 3.3):
///   sum over masks of mean over points of (softplus(x) - x t), divided by num_masks
/// logits and targets [M,P] f32 contiguous, targets in [0,1] -> [1] f32. Differentiable in the logits. Stable for
/// logits of any size; sums in f64. No mask or no point gives 0 and zero gradients. throws ShapeError or DTypeError if
/// they are not so; Error if num_masks is not positive; AutogradError if a gradient of the targets is wanted.
[[nodiscard]] Tensor sigmoid_ce_loss(const Tensor& logits, const Tensor& targets, double num_masks);

/// Dice loss of sampled mask logits (Milletari et al., V-Net, smoothed by 1 as in Mask2Former):
///   sum over masks of 1 - (2 sum(p t) + 1) / (sum p + sum t + 1), p = sigmoid(x), divided by num_masks
/// Otherwise as sigmoid_ce_loss.
[[nodiscard]] Tensor dice_loss(const Tensor& logits, const Tensor& targets, double num_masks);

}  // namespace visage::ops
