#include "visage/pipeline/video_scores.h"

#include "ops/elementwise/elementwise.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace visage::pipeline {

VideoScores::VideoScores(int classes, MaskQuality quality) : classes_(classes), factor_(quality) {}

void VideoScores::add_logits(const Tensor& logits, const std::vector<int>& query_of_track) {
  const std::int64_t columns = classes_ + 1;
  const std::size_t tracks = query_of_track.size();
  check<ShapeError>(
      logits.rank() == 2 && logits.size(1) == columns && logits.is_contiguous() && tracks >= logit_counts_.size(),
      "VideoScores: logits must be [Q, ", columns, "] and tracks at least ", logit_counts_.size(), "; got ",
      logits.size(), " and ", tracks);
  logit_sums_.resize(tracks * static_cast<std::size_t>(columns));
  logit_counts_.resize(tracks);
  quality_sums_.resize(tracks);
  quality_counts_.resize(tracks);
  for (std::size_t track = 0; track < tracks; ++track) {
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

void VideoScores::remove(int track) {
  const auto first = logit_sums_.begin() + std::int64_t{track} * (classes_ + 1);
  std::fill(first, first + classes_ + 1, 0.0);
  logit_counts_[track] = 0;
  quality_sums_[track] = 0;
  quality_counts_[track] = 0;
}

Tensor VideoScores::mean_logits_of(std::span<const int> tracks) const {
  const std::int64_t columns = classes_ + 1;
  Tensor mean = Tensor::empty({std::ssize(tracks), columns});
  float* to = mean.data<float>();
  for (const int track : tracks) {
    const auto frames = static_cast<double>(std::max<std::int64_t>(logit_counts_[track], 1));
    for (std::int64_t c = 0; c < columns; ++c) *to++ = static_cast<float>(logit_sums_[track * columns + c] / frames);
  }
  return mean;
}

Tensor VideoScores::mean_logits() const {
  std::vector<int> all(logit_counts_.size());
  std::iota(all.begin(), all.end(), 0);
  return mean_logits_of(all);
}

std::vector<int> VideoScores::tracks_with_frames() const {
  std::vector<int> tracks;
  for (std::size_t track = 0; track < logit_counts_.size(); ++track)
    if (logit_counts_[track] > 0) tracks.push_back(static_cast<int>(track));
  return tracks;
}

double VideoScores::quality(int track) const {
  if (factor_ == MaskQuality::is_ignored) return 1;
  return quality_sums_[track] / (static_cast<double>(quality_counts_[track]) + 1e-6);
}

std::vector<ScoredTrack> VideoScores::best_class_of(std::span<const int> tracks) const {
  std::vector<int> seen;
  for (const int track : tracks)
    if (logit_counts_[track] > 0) seen.push_back(track);
  if (seen.empty()) return {};
  const Tensor probability = ops::softmax(mean_logits_of(seen));
  std::vector<ScoredTrack> scored;
  const float* row = probability.data<float>();
  for (const int track : seen) {
    const auto label = static_cast<int>(std::max_element(row, row + classes_) - row);
    scored.push_back({track, label, row[label] * quality(track)});
    row += classes_ + 1;
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  return scored;
}

std::vector<ScoredTrack> VideoScores::top(int k) const {
  const std::vector<int> seen = tracks_with_frames();
  if (seen.empty()) return {};
  const Tensor probability = ops::softmax(mean_logits_of(seen));
  std::vector<ScoredTrack> pairs;
  const float* row = probability.data<float>();
  for (const int track : seen) {
    for (int c = 0; c < classes_; ++c) pairs.push_back({track, c, row[c]});
    row += classes_ + 1;
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
