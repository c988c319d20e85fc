#pragma once
#include "visage/evaluation/track_overlap.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace visage::evaluation {

struct TrackingOptions {
  /// Predictions below it are left out: video instance segmentation keeps many unlikely tracks, which these metrics,
  /// having no notion of a score, would all count as wrong.
  double min_score = 0.3;
  /// Least mask IoU of a match for IDF1 and ID switches.
  double min_iou = 0.5;
};

/// How well identities are kept, on mask IoU in single frames; fractions of 1, and -1 where nothing is annotated.
/// Counts are summed over the videos before a ratio is taken.
struct IdentityMetrics {
  double hota = -1, det_a = -1, ass_a = -1;  // means over the thresholds 0.05, 0.1, ... 0.95
  double idf1 = -1;
  std::int64_t id_switches = 0;
  std::int64_t truth_masks = 0, predicted_masks = 0;  // in all frames
};

struct CategoryTracking {
  std::int64_t id = 0;
  std::string name;
  IdentityMetrics metrics;
};

struct TrackingMetrics {
  double min_score = 0;
  /// Categories play no part: an object tracked under the wrong name is tracked.
  IdentityMetrics class_agnostic;
  /// Mean of the ratios and sum of the counts over `categories`.
  IdentityMetrics class_mean;
  std::vector<CategoryTracking> categories;  // those with ground truth, ascending id
};

/// IDF1 = 2 IDTP / (2 IDTP + IDFP + IDFN) under the one-to-one mapping of tracks that makes IDTP largest (Ristani et
/// al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, ECCVW 2016).
/// ID switches: frames in which an object is matched to another track than where it was matched last; a match goes on
/// while its IoU allows it (Bernardin & Stiefelhagen, Evaluating Multiple Object Tracking Performance, 2008).
/// HOTA = sqrt(DetA AssA) (Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021).
/// Crowd regions are no objects. A predicted mask is left out of its frame when more than half of it lies in them and
/// it has at least TrackingOptions::min_iou with no object.
/// The videos need predictions with FrameDetail::keep. Throws UsageError for options outside 0 to 1.
[[nodiscard]] TrackingMetrics tracking_metrics(std::span<const EvaluatedVideo* const> videos,
                                               std::span<const annotation::Category> categories,
                                               const TrackingOptions& options = {});

}  // namespace visage::evaluation
