#pragma once
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

/// The instances that two frames have in common: instance i has embedding key[key_frame, key_index[i]] and
/// reference[reference_frame, reference_index[i]].
struct AnchorPair {
  std::int64_t key_frame = 0;
  std::int64_t reference_frame = 0;
  std::vector<std::int64_t> key_index;
  std::vector<std::int64_t> reference_index;
};

/// Contrastive loss of the embeddings k_i, r_j of the common instances (VISAGE, Kim et al., 2024; InfoNCE, van
/// den Oord et al., equation 4, on raw dot products):
///   sum over pairs and anchors i of logsumexp over {0} and {k_i.r_j - k_i.r_i, j != i}, divided by num_anchors
/// computed as logsumexp_j(k_i.r_j) - k_i.r_i. key [F,Q,C], reference [G,Q,C] f32 contiguous, the same tensor or two ->
/// [1] f32. Differentiable in both. No anchor gives 0 and zero gradients.
/// throws ShapeError or DTypeError if the parts do not fit together or an index does not exist; Error if num_anchors is
/// not positive.
[[nodiscard]] Tensor contrastive_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                                      double num_anchors);

/// Auxiliary loss that pulls the cosines of the common instances to 1 on the diagonal and 0 elsewhere:
///   sum over pairs and anchors i of mean_j (cos(k_i, r_j) - [i = j])^2, divided by num_anchors
/// with norms of at least 1e-12. Otherwise as contrastive_loss.
[[nodiscard]] Tensor cosine_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                                 double num_anchors);

}  // namespace visage::ops
