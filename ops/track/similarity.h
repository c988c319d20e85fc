#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Cosine similarity of every row of `a` with every row of `b`:
///   out[k, q] = <a_k, b_q> / (|a_k| |b_q|)
/// a f32 [K, D], b f32 [Q, D], contiguous; out f32 [K, Q]. A row of zero norm has similarity 0 to everything (the
/// formula gives NaN there). Not differentiable: the losses have cosines of their own.
/// throws ShapeError, DTypeError.
[[nodiscard]] Tensor cosine_similarity(const Tensor& a, const Tensor& b);

/// What one frame is matched by. Rows of a memory are track slots, rows of the others are queries of the frame.
struct TrackSimilarityInputs {
  Tensor object_memory;      // f32 [K, D]
  Tensor object;             // f32 [Q, D]
  Tensor appearance_memory;  // f32 [K, A]
  Tensor appearance;         // f32 [Q, A]
  double alpha = 0.75;       // weight of appearance, 0 to 1
};

/// Blended similarity of track slots and queries of VISAGE, in one output without intermediates:
///   out[k, q] = (1 - alpha) cos(object_memory_k, object_q) + alpha cos(appearance_memory_k, appearance_q)
/// out f32 [K, Q]; the rules of cosine_similarity hold for both terms. Not differentiable.
/// throws ShapeError, DTypeError, and Error if alpha is outside [0, 1].
[[nodiscard]] Tensor track_similarity(const TrackSimilarityInputs& inputs);

}  // namespace visage::ops
