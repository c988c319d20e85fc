#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Cross-entropy with class weights, averaged with them (Mask2Former weighs no-object by 0.1):
///   sum over rows of w[label] (logsumexp(x) - x[label]) / sum over rows of w[label]
/// logits [..., K] f32, labels [...] i64, class_weights [K] f32, all contiguous -> [1] f32. Differentiable in the
/// logits. Sums in f64. Without rows, or where all weights are 0, the loss and its gradients are 0. throws ShapeError
/// or DTypeError if the parts do not fit together; Error if a label is not a class; AutogradError if a gradient of the
/// weights is wanted. On a GPU nobody waits to see the labels: one that is not a class makes the loss NaN.
[[nodiscard]] Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& class_weights);

namespace loss_detail {

/// throws Error with the position of the first label that is not in [0, classes), if the labels are on the CPU.
void check_labels(const char* op, const Tensor& labels, std::int64_t classes);

}  // namespace loss_detail

}  // namespace visage::ops
