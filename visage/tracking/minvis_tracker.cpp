#include "visage/tracking/minvis_tracker.h"

#include "ops/linear/linear.h"
#include "visage/tracking/association.h"
#include "visage/tracking/detections.h"
#include "visage/tracking/rows.h"

#include <numeric>

namespace visage::tracking {

FrameTracks MinvisTracker::step(const FrameQueries& queries) {
  const Detections seen = read_detections(queries, config_.embedding, alpha_, Scale::unit, frame_);
  const auto count = static_cast<std::size_t>(seen.embedding.size(0));
  FrameTracks tracks{.query_of_track = std::vector<int>(count)};
  std::iota(tracks.query_of_track.begin(), tracks.query_of_track.end(), 0);
  if (frame_ > 0) {
    check<ShapeError>(seen.embedding.size() == before_.size(), "tracker: frame ", frame_, " has embeddings ",
                      seen.embedding.size(), ", frame 0 had ", before_.size(), "; reset() between videos");
    const bool greedy = config_.solver == Solver::greedy;
    const std::vector<int> order = greedy ? best_first(seen.scores, -1) : tracks.query_of_track;
    const Tensor cosine = ops::linear(rows_of(seen.embedding, order), before_, {});
    constexpr double kAny = -2;  // below every cosine
    const std::vector<int> track_of =
        greedy ? assign_greedily(cosine, kAny, std::vector<double>(count, 1)) : assign_optimally(cosine, kAny);
    for (std::size_t i = 0; i < count; ++i) {
      tracks.query_of_track[track_of[i]] = order[i];
      tracks.similarity += cosine.data<float>()[i * count + track_of[i]];
    }
  }
  before_ = rows_of(seen.embedding, tracks.query_of_track);
  ++frame_;
  return tracks;
}

}  // namespace visage::tracking
