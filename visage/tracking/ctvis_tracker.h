#pragma once
#include "visage/tracking/bi_softmax_tracker.h"

namespace visage::tracking {

/// The tracker of CTVIS (Ying et al., ICCV 2023). A track is remembered by a moving average that trusts a sighting e as
/// far as it resembles the last `memory` ones:
///   m <- (1 - b) m + b e,   b = max(0, mean_i cos(e, e_i));   m = e for a new track
class CtvisTracker final : public BiSoftmaxTracker {
 public:
  /// `alpha` weighs appearance where both embeddings are compared.
  CtvisTracker(const BiSoftmaxConfig& config, double alpha) : BiSoftmaxTracker(config, alpha) {}

 private:
  void remember(Memory& memory, const Sighting& sighting) const override;
};

}  // namespace visage::tracking
