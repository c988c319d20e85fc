#include "visage/tracking/qdtrack_tracker.h"

#include "visage/tracking/association.h"
#include "visage/tracking/rows.h"

#include <algorithm>

namespace visage::tracking {

QdtrackTracker::QdtrackTracker(const QdtrackConfig& config, double alpha) : config_(config), alpha_(alpha) {
  for (const double share : {config.least_score, config.keep_score, config.birth_score, config.nms_iou,
                             config.low_score_iou, config.least_match, config.momentum})
    check<UsageError>(share >= 0 && share <= 1, "tracker: scores, matches, IoU and momentum must be from 0 to 1; got ",
                      share);
  check<UsageError>(config.patience >= 1 && config.backdrop_frames >= 0,
                    "tracker: patience must be at least 1, backdrop_frames at least 0; got ", config.patience, " and ",
                    config.backdrop_frames);
}

void QdtrackTracker::reset() {
  memory_.clear();
  started_ = 0;
  frame_ = 0;
}

std::vector<int> QdtrackTracker::detected(const Detections& seen, const MaskOverlaps& overlaps) const {
  const std::vector<int> queries = best_first(seen.scores, config_.least_score);
  std::vector<int> found;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const double most = seen.scores[queries[i]] < config_.keep_score ? config_.low_score_iou : config_.nms_iou;
    // As in the original, better ones count even if they were dropped themselves.
    if (!overlaps.exceed(most, queries[i], std::span(queries).first(i))) found.push_back(queries[i]);
  }
  return found;
}

std::vector<QdtrackTracker::Match> QdtrackTracker::matched(const Detections& seen, std::span<const int> found) const {
  std::vector<Match> matches(found.size());
  if (found.empty() || memory_.empty()) return matches;
  Tensor memories = Tensor::empty({std::ssize(memory_), seen.embedding.size(1)});
  float* to = memories.data<float>();
  for (const Candidate& candidate : memory_) to = std::ranges::copy(candidate.embedding, to).out;
  const Tensor match = bi_softmax(rows_of(seen.embedding, found), memories);
  const std::size_t columns = memory_.size();
  float* value = match.data<float>();
  for (std::size_t i = 0; i < found.size(); ++i)
    for (std::size_t j = 0; j < columns; ++j)
      if (memory_[j].label != seen.labels[found[i]]) value[i * columns + j] = 0;
  std::vector<int> optimal;
  if (config_.solver == Solver::hungarian) optimal = assign_optimally(match, config_.least_match);
  std::vector<char> taken(columns);
  for (std::size_t i = 0; i < found.size(); ++i) {
    int best = -1;
    if (!optimal.empty()) {
      best = optimal[i];
    } else {
      for (int j = 0; j < static_cast<int>(columns); ++j)
        if (!taken[j] && value[i * columns + j] > (best < 0 ? config_.least_match : value[i * columns + best]))
          best = j;
    }
    if (best < 0 || memory_[best].id < 0) continue;
    matches[i] = {.candidate = best, .value = value[i * columns + best]};
    if (seen.scores[found[i]] > config_.keep_score) taken[best] = 1;
  }
  return matches;
}

void QdtrackTracker::update(Candidate& track, const Detections& seen, int query) {
  const std::span<const float> row = row_of(seen.embedding, query);
  for (std::size_t d = 0; d < row.size(); ++d)
    track.embedding[d] = static_cast<float>((1 - config_.momentum) * track.embedding[d] + config_.momentum * row[d]);
  track.label = seen.labels[query];
  track.last_seen = frame_;
}

FrameTracks QdtrackTracker::step(const FrameQueries& queries) {
  const Detections seen = read_detections(queries, config_.embedding, alpha_, Scale::raw, frame_);
  check<ShapeError>(memory_.empty() || seen.embedding.size(1) == std::ssize(memory_.front().embedding),
                    "tracker: frame ", frame_,
                    " has embeddings of other channels than the frames before; reset() "
                    "between videos");
  const MaskOverlaps overlaps(queries.masks, seen.scores.size());
  const std::vector<int> found = detected(seen, overlaps);
  const std::vector<Match> matches = matched(seen, found);
  FrameTracks result;
  std::vector<std::pair<int, int>> pairs;  // track, query
  std::vector<Candidate> added;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const int query = found[i];
    if (matches[i].candidate >= 0) {
      if (!(seen.scores[query] > config_.keep_score)) continue;
      Candidate& track = memory_[matches[i].candidate];
      update(track, seen, query);
      pairs.emplace_back(track.id, query);
      result.similarity += matches[i].value;
      continue;
    }
    const bool starts = seen.scores[query] > config_.birth_score;
    if (!starts && overlaps.exceed(config_.low_score_iou, query, std::span(found).first(i))) continue;
    const std::span<const float> row = row_of(seen.embedding, query);
    added.push_back({starts ? started_ : -1, seen.labels[query], frame_, {row.begin(), row.end()}});
    if (starts) pairs.emplace_back(started_++, query);
  }
  std::ranges::move(added, std::back_inserter(memory_));
  std::erase_if(memory_, [&](const Candidate& one) {
    return frame_ - one.last_seen >= (one.id < 0 ? config_.backdrop_frames : config_.patience);
  });
  result.query_of_track.assign(static_cast<std::size_t>(started_), -1);
  for (const auto& [track, query] : pairs) result.query_of_track[track] = query;
  ++frame_;
  return result;
}

}  // namespace visage::tracking
