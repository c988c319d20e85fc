#pragma once
#include "visage/annotation/ytvis.h"
#include "visage/evaluation/evaluator.h"
#include "visage/pipeline/video_pipeline.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace visage::experiments {

/// Scores every setting of the tracker on a data set with ground truth: what `visage eval` says for each, from one pass
/// of the detector. Of a video, trackers and masks are kept until it is scored, of the set only overlaps.
/// `after_frame` is called with the frames of all videos that were read so far, and ends the sweep by throwing. Throws
/// as evaluation::track_video and evaluation::Evaluator.
[[nodiscard]] std::vector<evaluation::Evaluation> evaluate_settings(
    Detector& detector, const pipeline::PipelineOptions& options, std::span<const TrackingConfig> settings,
    const annotation::VideoDataset& dataset, const std::string& image_root, std::span<const std::int64_t> category_ids,
    const std::function<void(std::int64_t frames)>& after_frame = {});

/// Mean and sample standard deviation (0 for a single value).
struct Spread {
  double mean = 0, deviation = 0;
};
[[nodiscard]] Spread spread_of(std::span<const double> values);

}  // namespace visage::experiments
