#include "visage/evaluation/evaluator.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"

#include <algorithm>

namespace visage::evaluation {

Evaluator::Evaluator(const annotation::VideoDataset& dataset, const TrackingOptions& options)
    : options_(options), categories_(dataset.categories), category_index_(dataset.category_index) {
  check<InputError>(dataset.ground_truth == annotation::GroundTruth::present,
                    "the data set has no ground truth (no \"annotations\"); evaluate on a split that has it");
  static_cast<void>(tracking_metrics({}, {}, options));
  videos_ = prepare_videos(dataset);
  for (size_t i = 0; i < videos_.size(); ++i) position_.emplace(videos_[i].truth.id, i);
}

size_t Evaluator::position_of(std::int64_t video_id) const {
  const auto found = position_.find(video_id);
  check<InputError>(found != position_.end(), "the data set has no video with id ", video_id);
  return found->second;
}

void Evaluator::add(std::span<const annotation::Prediction> predictions) {
  const auto count = static_cast<std::int64_t>(predictions.size());
  std::vector<PredictedTrack> tracks(predictions.size());
  std::vector<size_t> videos(predictions.size());
  for (size_t i = 0; i < predictions.size(); ++i) videos[i] = position_of(predictions[i].video_id);
  cpu::parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const annotation::Prediction& prediction = predictions[i];
      const FrameDetail detail = prediction.score >= options_.min_score ? FrameDetail::keep : FrameDetail::drop;
      if (category_index_.contains(prediction.category_id))
        tracks[i] = overlap_with(videos_[videos[i]].truth, prediction, detail);
    }
  });
  for (size_t i = 0; i < predictions.size(); ++i) {
    tracks[i].id = ++arrived_;
    if (category_index_.contains(predictions[i].category_id))
      videos_[videos[i]].predictions.push_back(std::move(tracks[i]));
    else
      ++dropped_[predictions[i].category_id];
  }
}

void Evaluator::add_file(const std::string& path, const annotation::VideoDataset& dataset) {
  constexpr size_t kBatch = 256;  // enough for all cores, little enough for the memory
  std::vector<annotation::Prediction> batch;
  annotation::for_each_prediction(path, dataset, [&](annotation::Prediction prediction) {
    batch.push_back(std::move(prediction));
    if (batch.size() < kBatch) return;
    add(batch);
    batch.clear();
  });
  add(batch);
}

Evaluation Evaluator::evaluate(std::span<const EvaluatedVideo* const> videos) const {
  Evaluation evaluation{.ap = vis_ap(videos, categories_),
                        .tracking = tracking_metrics(videos, categories_, options_),
                        .videos = static_cast<std::int64_t>(videos.size())};
  for (const EvaluatedVideo* video : videos) {
    evaluation.predictions += static_cast<std::int64_t>(video->predictions.size());
    evaluation.videos_without_predictions += video->predictions.empty();
  }
  return evaluation;
}

Evaluation Evaluator::result() const {
  std::vector<const EvaluatedVideo*> all;
  for (const EvaluatedVideo& video : videos_) all.push_back(&video);
  return evaluate(all);
}

Evaluation Evaluator::result(std::span<const std::int64_t> video_ids) const {
  std::vector<const EvaluatedVideo*> some;
  for (const std::int64_t id : video_ids) some.push_back(&videos_[position_of(id)]);
  std::sort(some.begin(), some.end());  // they lie in one list in ascending id
  some.erase(std::unique(some.begin(), some.end()), some.end());
  return evaluate(some);
}

std::vector<std::string> Evaluator::warnings() const {
  std::vector<std::string> lines;
  for (const auto& [category, count] : dropped_) {
    lines.push_back(std::to_string(count) + " predictions dropped: the data set has no category with id " +
                    std::to_string(category));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace visage::evaluation
