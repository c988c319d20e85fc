#pragma once
#include "visage/evaluation/track_overlap.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Average precision and recall of video instance segmentation, equal to YTVOSeval of youtubevos/cocoapi, quirks
// included; docs/evaluation.md lists them.
namespace visage::evaluation {

// Lambdas that run in the compiler, where no fused multiply-add changes the last bit.

/// 0.5, 0.55, ... 0.95 with the bits the official evaluator has: the ninth is 0.8999999999999999.
inline constexpr auto kIouThresholds = [] {
  std::array<double, 10> thresholds{};
  for (int i = 0; i < 9; ++i) thresholds[i] = 0.5 + i * ((0.95 - 0.5) / 9);
  thresholds[9] = 0.95;
  return thresholds;
}();

/// 0, 0.01, ... 1 as multiples of 0.01, which are not always n / 100.
inline constexpr auto kRecallThresholds = [] {
  std::array<double, 101> thresholds{};
  for (int i = 0; i < 100; ++i) thresholds[i] = i * 0.01;
  thresholds[100] = 1;
  return thresholds;
}();

/// Range of average areas in pixels, both ends included. The limits are 128^2 and 256^2, not COCO's.
struct AreaRange {
  const char* name;
  double lowest, highest;
};
inline constexpr std::array<AreaRange, 4> kAreas = {
    {{"all", 0, 1e10}, {"small", 0, 128 * 128}, {"medium", 128 * 128, 256 * 256}, {"large", 256 * 256, 1e10}}};

/// Predictions that count, per video and category.
inline constexpr std::array<size_t, 3> kDetectionLimits = {1, 10, 100};

/// The matching of one video and category for one area range. Ids are those of the annotations; 0 is no match, so that
/// an annotation with id 0 never counts (a quirk of the official evaluator).
struct AreaMatch {
  std::vector<std::int64_t> truth_order;  // ids; what is ignored comes last
  std::vector<bool> truth_ignored;        // in that order
  std::array<std::vector<std::int64_t>, kIouThresholds.size()> matched;
  std::array<std::vector<bool>, kIouThresholds.size()> ignored;  // one a prediction
};

/// Intermediate values of one video and category with any ground truth or prediction.
struct PairDetails {
  std::int64_t video_id = 0, category_id = 0;
  std::vector<std::int64_t> prediction_ids;  // best first, at most the largest limit
  std::vector<std::int64_t> truth_ids;       // in the order of the file
  std::vector<std::int64_t> intersections;   // pixels of all frames, [predictions, truths]
  std::vector<std::int64_t> unions;
  std::array<AreaMatch, kAreas.size()> matches;
};

/// One category, area range and limit. Without ground truth every value is -1.
struct PrecisionRecall {
  std::array<std::array<double, kRecallThresholds.size()>, kIouThresholds.size()> precision;
  std::array<double, kIouThresholds.size()> recall;
  /// Mean over the recall thresholds.
  [[nodiscard]] double average_precision(size_t iou_threshold) const;
};

struct CategoryAp {
  std::int64_t id = 0;
  std::string name;
  std::array<std::array<PrecisionRecall, kDetectionLimits.size()>, kAreas.size()> cells;

  /// Means over the IoU thresholds for all areas, -1 without ground truth.
  [[nodiscard]] double ap() const;
  [[nodiscard]] double ap_at(size_t iou_threshold) const { return cells[0].back().average_precision(iou_threshold); }
  [[nodiscard]] double ar(size_t limit) const;
};

/// The twelve numbers in the official order, fractions of 1: means over the categories with ground truth; -1 where
/// there is none.
struct VisAp {
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
  std::vector<CategoryAp> categories;  // ascending id

  [[nodiscard]] std::array<double, 12> numbers() const {
    return {ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, ar100, ar_small, ar_medium, ar_large};
  }
};

/// Spatio-temporal IoU of a track pair is sum_t |D_t and G_t| / sum_t |D_t or G_t| (Yang et al., Video Instance
/// Segmentation, ICCV 2019, eq. 3), 0 without pixels. `videos` ascend in id. Parallel over the categories.
[[nodiscard]] VisAp vis_ap(std::span<const EvaluatedVideo* const> videos,
                           std::span<const annotation::Category> categories);

/// How the predictions were matched, by ascending video, then category.
[[nodiscard]] std::vector<PairDetails> match_details(std::span<const EvaluatedVideo* const> videos,
                                                     std::span<const annotation::Category> categories);

}  // namespace visage::evaluation
