#include "visage/tracking/chunk_stitcher.h"

#include "ops/assign/hungarian.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/parallel.h"
#include "visage/tracking/detections.h"
#include "visage/tracking/mask_overlap.h"

#include <numeric>

namespace visage::tracking {
namespace {

using Extents = std::vector<std::vector<MaskExtent>>;  // frame by frame, query by query

Extents extents_of(std::span<const FrameMasks> frames) {
  Extents extents;
  for (const FrameMasks& masks : frames) extents.emplace_back(masks.begin(), masks.end());
  return extents;
}

// IoU of query `a` of one chunk and query `b` of the other over the frames they share; 0 where neither has a mask.
double volume_iou(const Extents& before, int a, const Extents& now, int b) {
  std::int64_t shared = 0, area = 0;
  for (std::size_t frame = 0; frame < now.size(); ++frame) {
    const MaskExtent &first = before[frame][a], &second = now[frame][b];
    shared += shared_pixels(first, second);
    area += first.area + second.area;
  }
  return area > shared ? static_cast<double>(shared) / static_cast<double>(area - shared) : 0;
}

}  // namespace

const std::vector<int>& ChunkStitcher::begin_chunk(const FrameQueries& queries, std::span<const FrameMasks> shared) {
  constexpr float kCosine = 0.1f;  // its weight beside the IoU
  const Detections now_detected = read_detections(queries, Embedding::decoder, 0, Scale::unit, chunk_++);
  const Tensor& unit = now_detected.embedding;
  const std::int64_t count = unit.size(0);
  if (query_of_track_.empty()) {
    query_of_track_.resize(count);
    std::iota(query_of_track_.begin(), query_of_track_.end(), 0);
    queries_ = unit;
    scores_ = now_detected.scores;
    return query_of_track_;
  }
  check<ShapeError>(unit.size() == queries_.size(), "ChunkStitcher: queries ", unit.size(), " after ", queries_.size(),
                    "; reset() between videos");
  check<ShapeError>(shared.size() == last_.size(), "ChunkStitcher: masks of ", shared.size(),
                    " shared frames; the chunk before ended with ", last_.size());
  const Extents before = extents_of(last_), now = extents_of(shared);
  const Tensor similarity = ops::linear(queries_, unit, {});  // [queries before, queries now]
  cpu::parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t a = begin; a < end; ++a)
      for (std::int64_t b = 0; b < count; ++b) {
        float& value = similarity.data<float>()[a * count + b];
        const double iou = volume_iou(before, static_cast<int>(a), now, static_cast<int>(b));
        value = (scores_[a] + now_detected.scores[b]) / 2 * (static_cast<float>(iou) + kCosine * value);
      }
  });
  const ops::Assignment pairs = ops::assign(similarity, ops::Objective::maximise);
  for (int& query : query_of_track_) query = pairs.column_of_row[query];
  queries_ = unit;
  scores_ = now_detected.scores;
  return query_of_track_;
}

void ChunkStitcher::end_chunk(std::vector<FrameMasks> last) { last_ = std::move(last); }

}  // namespace visage::tracking
