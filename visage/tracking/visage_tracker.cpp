#include "visage/tracking/visage_tracker.h"

#include "ops/assign/hungarian.h"
#include "ops/track/class_score.h"
#include "ops/track/similarity.h"

#include <bit>
#include <numeric>

namespace visage::tracking {
namespace {

bool all_finite(const Tensor& x) {
  constexpr std::uint32_t exponent = 0x7f800000u;
  std::uint32_t found = 0;
  const float* values = x.data<float>();
  const std::int64_t count = x.numel();
  for (std::int64_t i = 0; i < count; ++i) found |= (std::bit_cast<std::uint32_t>(values[i]) & exponent) == exponent;
  return found == 0;
}

void check_rows(const char* name, const Tensor& x, std::int64_t frame) {
  check<ShapeError>(x && x.rank() == 2 && x.is_contiguous() && x.device().type == DeviceType::cpu, "tracker: frame ",
                    frame, ": ", name, " must be contiguous [queries, channels] on the CPU; got ",
                    x ? x.size() : Dims{});
  check<DTypeError>(x.dtype() == DType::f32, "tracker: frame ", frame, ": ", name, " must be f32; got ", x.dtype());
  check(all_finite(x), "tracker: frame ", frame, ": ", name,
        " has a value that is not finite; check the weights and the input");
}

}  // namespace

VisageTracker::VisageTracker(const TrackingConfig& config)
    : config_(config), objects_(config.window, config.weighting), appearances_(config.window, config.weighting) {
  check<UsageError>(config.alpha >= 0 && config.alpha <= 1, "tracker: alpha must be from 0 to 1; got ", config.alpha);
}

void VisageTracker::reset() {
  objects_.reset();
  appearances_.reset();
  frame_ = 0;
  object_memory_ = appearance_memory_ = scores_ = {};
}

FrameTracks VisageTracker::step(const FrameQueries& queries) {
  check_rows("logits", queries.logits, frame_);
  check_rows("object", queries.object, frame_);
  check_rows("appearance", queries.appearance, frame_);
  const std::int64_t count = queries.logits.size(0);
  check<ShapeError>(queries.object.size(0) == count && queries.appearance.size(0) == count, "tracker: frame ", frame_,
                    ": ", count, " rows of logits, but ", queries.object.size(0), " of object and ",
                    queries.appearance.size(0), " of appearance embeddings");
  check<ShapeError>(frame_ == 0 || (queries.logits.size() == logits_size_ && queries.object.size() == object_size_ &&
                                    queries.appearance.size() == appearance_size_),
                    "tracker: frame ", frame_, " has other sizes than frame 0; reset() between videos");

  const Tensor query_scores = ops::max_class_score(queries.logits);
  FrameTracks tracks;
  if (frame_ == 0) {
    tracks.query_of_track.resize(count);
    std::iota(tracks.query_of_track.begin(), tracks.query_of_track.end(), 0);
  } else {
    object_memory_ = objects_.read();
    appearance_memory_ = appearances_.read();
    const Tensor similarity = ops::track_similarity({.object_memory = object_memory_,
                                                     .object = queries.object,
                                                     .appearance_memory = appearance_memory_,
                                                     .appearance = queries.appearance,
                                                     .alpha = config_.alpha});
    ops::Assignment matches = ops::assign(similarity, ops::Objective::maximise);
    tracks = {.query_of_track = std::move(matches.column_of_row), .similarity = matches.total};
  }

  objects_.insert(queries.object, query_scores, tracks.query_of_track);
  appearances_.insert(queries.appearance, query_scores, tracks.query_of_track);
  scores_ = Tensor::empty({count});
  for (std::int64_t slot = 0; slot < count; ++slot)
    scores_.data<float>()[slot] = query_scores.data<float>()[tracks.query_of_track[slot]];
  logits_size_ = queries.logits.size();
  object_size_ = queries.object.size();
  appearance_size_ = queries.appearance.size();
  ++frame_;
  return tracks;
}

}  // namespace visage::tracking
