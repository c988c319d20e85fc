#include "visage/tracking/bi_softmax_tracker.h"

#include "visage/tracking/association.h"
#include "visage/tracking/rows.h"

#include <algorithm>

namespace visage::tracking {
namespace {

constexpr std::int64_t kFirstFrames = 9;  // in which no track is taken for noise
constexpr std::int64_t kUnseen = 2;       // frames without a detection that make a track noise

}  // namespace

BiSoftmaxTracker::BiSoftmaxTracker(const BiSoftmaxConfig& config, double alpha) : config_(config), alpha_(alpha) {
  for (const double share : {config.least_score, config.nms_iou, config.least_match, config.birth_score})
    check<UsageError>(share >= 0 && share <= 1, "tracker: scores, matches and IoU must be from 0 to 1; got ", share);
  check<UsageError>(config.memory >= 1 && config.patience >= 1 && config.least_hits >= 0,
                    "tracker: memory and patience must be at least 1, least_hits at least 0; got ", config.memory, ", ",
                    config.patience, " and ", config.least_hits);
}

void BiSoftmaxTracker::reset() {
  tracks_.clear();
  started_ = 0;
  frame_ = 0;
}

std::vector<int> BiSoftmaxTracker::detected(const Detections& seen, std::span<const ops::QueryMask> masks) const {
  std::vector<int> queries = best_first(seen.scores, config_.least_score);
  if (config_.nms_iou >= 1) return queries;
  const MaskOverlaps overlaps(masks, seen.scores.size());
  std::vector<int> kept;
  for (const int query : queries)
    if (!overlaps.exceed(config_.nms_iou, query, kept)) kept.push_back(query);
  return kept;
}

std::vector<int> BiSoftmaxTracker::matched(const Tensor& detections, double& similarity) const {
  std::vector<int> track_of(static_cast<std::size_t>(detections.size(0)), -1);
  if (track_of.empty() || tracks_.empty()) return track_of;
  Tensor memories = Tensor::empty({std::ssize(tracks_), detections.size(1)});
  float* to = memories.data<float>();
  std::vector<double> hits;
  for (const Track& track : tracks_) {
    to = std::ranges::copy(track.memory.embedding, to).out;
    hits.push_back(track.hits);
  }
  const Tensor match = bi_softmax(detections, memories);
  track_of = config_.solver == Solver::greedy ? assign_greedily(match, config_.least_match, hits)
                                              : assign_optimally(match, config_.least_match);
  for (std::size_t i = 0; i < track_of.size(); ++i)
    if (track_of[i] >= 0) similarity += row_of(match, static_cast<std::int64_t>(i))[track_of[i]];
  return track_of;
}

void BiSoftmaxTracker::see(Track& track, const Detections& seen, int query) {
  const std::span<const float> row = row_of(seen.embedding, query);
  Sighting sighting{.embedding = {row.begin(), row.end()}, .score = seen.scores[query]};
  remember(track.memory, sighting);
  std::deque<Sighting>& sightings = track.memory.sightings;
  sightings.push_back(std::move(sighting));
  if (std::ssize(sightings) > config_.memory) sightings.pop_front();
  track.last_seen = frame_;
  ++track.hits;
}

std::vector<int> BiSoftmaxTracker::forget() {
  std::vector<int> noise;
  std::erase_if(tracks_, [&](const Track& track) {
    const std::int64_t unseen = frame_ - track.last_seen;
    const bool forgotten = unseen >= config_.patience;
    const bool is_noise =
        track.hits < config_.least_hits && (forgotten || (frame_ >= kFirstFrames && unseen >= kUnseen));
    if (is_noise) noise.push_back(track.id);
    return is_noise || forgotten;
  });
  return noise;
}

FrameTracks BiSoftmaxTracker::step(const FrameQueries& queries) {
  const Detections seen = read_detections(queries, config_.embedding, alpha_, Scale::raw, frame_);
  if (!tracks_.empty()) {
    const std::int64_t depth = std::ssize(tracks_.front().memory.embedding);
    check<ShapeError>(seen.embedding.size(1) == depth, "tracker: frame ", frame_, " has embeddings of ",
                      seen.embedding.size(1), " channels, the frames before of ", depth, "; reset() between videos");
  }
  const std::vector<int> found = detected(seen, queries.masks);
  FrameTracks result;
  const std::vector<int> track_of = matched(rows_of(seen.embedding, found), result.similarity);
  std::vector<std::pair<int, int>> pairs;  // track, query
  for (std::size_t i = 0; i < found.size(); ++i) {
    const int query = found[i];
    if (track_of[i] >= 0) {
      see(tracks_[track_of[i]], seen, query);
      pairs.emplace_back(tracks_[track_of[i]].id, query);
    } else if (seen.scores[query] > config_.birth_score) {
      see(tracks_.emplace_back(Track{.id = started_, .last_seen = frame_, .hits = 0, .memory = {}}), seen, query);
      pairs.emplace_back(started_++, query);
    }
  }
  result.query_of_track.assign(static_cast<std::size_t>(started_), -1);
  for (const auto& [track, query] : pairs) result.query_of_track[track] = query;
  result.noise = forget();
  ++frame_;
  return result;
}

}  // namespace visage::tracking
