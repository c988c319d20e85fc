#include "visage/pipeline/video_scores.h"

#include "ops/elementwise/elementwise.h"

#include <algorithm>
#include <utility>

namespace visage::pipeline {

VideoScores::VideoScores(int tracks, int classes)
    : tracks_(tracks),
      classes_(classes),
      logit_sums_(static_cast<std::size_t>(tracks) * (classes + 1)),
      logit_counts_(tracks),
      quality_sums_(tracks),
      quality_counts_(tracks) {}

void VideoScores::add_logits(const Tensor& logits, const std::vector<int>& query_of_track) {
  const std::int64_t columns = classes_ + 1;
  check<ShapeError>(logits.rank() == 2 && logits.size(1) == columns && logits.is_contiguous() &&
                        static_cast<int>(query_of_track.size()) == tracks_,
                    "VideoScores: logits must be [Q, ", columns, "] and tracks ", tracks_, "; logits ", logits.size());
  for (int track = 0; track < tracks_; ++track) {
    if (query_of_track[track] < 0) continue;
    const float* row = logits.data<float>() + query_of_track[track] * columns;
    for (std::int64_t c = 0; c < columns; ++c) logit_sums_[track * columns + c] += row[c];
    ++logit_counts_[track];
  }
  ++frames_;
}

void VideoScores::add_quality(int track, double sum, std::int64_t count) {
  quality_sums_[track] += sum;
  quality_counts_[track] += count;
}

Tensor VideoScores::mean_logits() const {
  Tensor mean = Tensor::zeros({tracks_, classes_ + 1});
  for (std::size_t i = 0; i < logit_sums_.size(); ++i) {
    const auto frames = static_cast<double>(std::max<std::int64_t>(logit_counts_[i / (classes_ + 1)], 1));
    mean.data<float>()[i] = static_cast<float>(logit_sums_[i] / frames);
  }
  return mean;
}

double VideoScores::quality(int track) const {
  return quality_sums_[track] / (static_cast<double>(quality_counts_[track]) + 1e-6);
}

std::vector<ScoredTrack> VideoScores::best_per_track() const {
  const Tensor probability = ops::softmax(mean_logits());
  std::vector<ScoredTrack> tracks;
  for (int track = 0; track < tracks_; ++track) {
    if (logit_counts_[track] == 0) continue;
    const float* row = probability.data<float>() + static_cast<std::int64_t>(track) * (classes_ + 1);
    const auto label = static_cast<int>(std::max_element(row, row + classes_) - row);
    tracks.push_back({track, label, row[label] * quality(track)});
  }
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  return tracks;
}

std::vector<ScoredTrack> VideoScores::top(int k) const {
  const Tensor probability = ops::softmax(mean_logits());
  std::vector<ScoredTrack> pairs;
  for (int track = 0; track < tracks_; ++track) {
    if (logit_counts_[track] == 0) continue;
    for (int c = 0; c < classes_; ++c)
      pairs.push_back({track, c, probability.data<float>()[track * (classes_ + 1) + c]});
  }
  const auto count = std::min<std::ptrdiff_t>(k, static_cast<std::ptrdiff_t>(pairs.size()));
  std::partial_sort(pairs.begin(), pairs.begin() + count, pairs.end(), [](const ScoredTrack& a, const ScoredTrack& b) {
    return a.score != b.score ? a.score > b.score : std::pair(a.track, a.label) < std::pair(b.track, b.label);
  });
  pairs.resize(count);
  for (ScoredTrack& pair : pairs) pair.score *= quality(pair.track);
  return pairs;
}

}  // namespace visage::pipeline
