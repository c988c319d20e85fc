#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// How sure each query is to be some object: the largest probability of a real class,
///   out[q] = max_{c < C} softmax(logits_q)_c      (softmax over all C + 1 entries, the last of which is "no object")
/// logits f32 [Q, C+1], contiguous, C >= 1; out f32 [Q]. Not differentiable. throws ShapeError, DTypeError.
[[nodiscard]] Tensor max_class_score(const Tensor& logits);

}  // namespace visage::ops
