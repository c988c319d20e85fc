#pragma once
#include "visage/tracking/tracker.h"

#include <cstdint>

namespace visage::tracking {

/// The matching of MinVIS (Huang et al., NeurIPS 2022): the queries of a frame take the tracks of the frame before, by
/// the greatest sum of cosines. Every query of the first frame is a track, and there are no others.
///
/// Works on the host.
class MinvisTracker final : public Tracker {
 public:
  /// `alpha` weighs appearance where both embeddings are compared.
  MinvisTracker(const MinvisConfig& config, double alpha) : config_(config), alpha_(alpha) {}

  /// Every frame must have as many queries and channels as the first.
  FrameTracks step(const FrameQueries& queries) override;
  void reset() override { frame_ = 0; }

 private:
  MinvisConfig config_;
  double alpha_;
  Tensor before_;  // [Q, D]: what the tracks were in the last frame, at length 1
  std::int64_t frame_ = 0;
};

}  // namespace visage::tracking
