#include "visage/experiments/sweep.h"

#include "visage/evaluation/track_video.h"

#include <cmath>
#include <numeric>

namespace visage::experiments {

std::vector<evaluation::Evaluation> evaluate_settings(Detector& detector, const pipeline::PipelineOptions& options,
                                                      std::span<const TrackingConfig> settings,
                                                      const annotation::VideoDataset& dataset,
                                                      const std::string& image_root,
                                                      std::span<const std::int64_t> category_ids,
                                                      const std::function<void(std::int64_t frames)>& after_frame) {
  std::vector<evaluation::Evaluator> evaluators;
  for (std::size_t i = 0; i < settings.size(); ++i) evaluators.emplace_back(dataset);
  pipeline::FrameDetector source(detector, options.detection());
  std::int64_t done = 0;
  for (const annotation::Video& video : dataset.videos) {
    const std::vector<pipeline::TrackAssembler> tracks =
        evaluation::track_video(source, options.assembly, settings, video, image_root, [&](std::int64_t frames) {
          if (after_frame) after_frame(done + frames);
        });
    done += video.length();
    for (std::size_t i = 0; i < settings.size(); ++i)
      evaluators[i].add(evaluation::predictions_of(tracks[i], video, category_ids));
  }
  std::vector<evaluation::Evaluation> evaluations;
  for (const evaluation::Evaluator& evaluator : evaluators) evaluations.push_back(evaluator.result());
  return evaluations;
}

Spread spread_of(std::span<const double> values) {
  Spread spread;
  if (values.empty()) return spread;
  const auto count = static_cast<double>(values.size());
  spread.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

}  // namespace visage::experiments
