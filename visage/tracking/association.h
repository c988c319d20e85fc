#pragma once
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::tracking {

/// How sure it is that detection i and track j belong together, from both sides (QDTrack, Pang et al., CVPR 2021, Eq.
/// 4):
///   f[i, j] = ( exp(s_ij) / sum_k exp(s_ik) + exp(s_ij) / sum_k exp(s_kj) ) / 2,   s_ij = <detection i, track j>
/// detections [R, D], tracks [C, D] f32 on the CPU, R and C at least 1; returns f32 [R, C]. throws Error for products
/// that f32 cannot hold.
[[nodiscard]] Tensor bi_softmax(const Tensor& detections, const Tensor& tracks);

/// Rows choose in order. A row takes the column with the greatest match * weight among the free ones whose match
/// exceeds `least`; of equal ones the first. Returns the column of each row, -1 for none.
/// match f32 [R, C] on the CPU; weight [C].
[[nodiscard]] std::vector<int> assign_greedily(const Tensor& match, double least, std::span<const double> weight);

/// The pairs of the one-to-one assignment with the greatest total match (ops::assign), without those that do not exceed
/// `least`.
[[nodiscard]] std::vector<int> assign_optimally(const Tensor& match, double least);

}  // namespace visage::tracking
