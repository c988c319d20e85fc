#pragma once
#include "visage/tracking/bi_softmax_tracker.h"

namespace visage::tracking {

/// The tracker of IDOL (Wu et al., ECCV 2022). A track is remembered by its last n = `memory` sightings, those with a
/// good score and the late ones most:
///   m = sum_i (score_i + i/n) e_i / sum_i (score_i + i/n),   i = 1 ... n, n the newest
class IdolTracker final : public BiSoftmaxTracker {
 public:
  /// `alpha` weighs appearance where both embeddings are compared.
  IdolTracker(const BiSoftmaxConfig& config, double alpha) : BiSoftmaxTracker(config, alpha) {}

 private:
  void remember(Memory& memory, const Sighting& sighting) const override;
};

}  // namespace visage::tracking
