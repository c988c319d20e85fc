#include "visage/tracking/visage_tracker.h"

#include "tensor/transfer.h"

#include <string>

namespace visage::tracking {
namespace {

void check_rows(const char* name, const Tensor& x, std::int64_t frame) {
  check<ShapeError>(x && x.rank() == 2 && x.is_contiguous(), "tracker: frame ", frame, ": ", name,
                    " must be contiguous [queries, channels]; got ", x ? x.size() : Dims{});
  check<DTypeError>(x.dtype() == DType::f32, "tracker: frame ", frame, ": ", name, " must be f32; got ", x.dtype());
}

std::string refused_part(int bits) {
  if (bits & ops::kLogitsNotFinite) return "logits";
  if (bits & ops::kObjectNotFinite) return "object";
  if (bits & ops::kAppearanceNotFinite) return "appearance";
  return "similarity";
}

bool fits(const ops::TrackerState& state, const FrameQueries& queries) {
  const auto rows = [](const Tensor& x) { return Dims{x.size(-2), x.size(-1)}; };
  return state.counters && state.counters.device() == queries.logits.device() &&
         queries.logits.size() == rows(state.logit_sums) && queries.object.size() == rows(state.object) &&
         queries.appearance.size() == rows(state.appearance);
}

}  // namespace

VisageTracker::VisageTracker(const TrackingConfig& config) : config_(config) {
  check<UsageError>(config.alpha >= 0 && config.alpha <= 1, "tracker: alpha must be from 0 to 1; got ", config.alpha);
  check<UsageError>(config.window >= 1, "tracker: the window must be at least 1 frame; got ", config.window);
}

void VisageTracker::check_fits(const FrameQueries& queries) {
  check_rows("logits", queries.logits, frame_);
  check_rows("object", queries.object, frame_);
  check_rows("appearance", queries.appearance, frame_);
  const std::int64_t count = queries.logits.size(0);
  check<ShapeError>(queries.object.size(0) == count && queries.appearance.size(0) == count, "tracker: frame ", frame_,
                    ": ", count, " rows of logits, but ", queries.object.size(0), " of object and ",
                    queries.appearance.size(0), " of appearance embeddings");
  if (fits(state_, queries)) return;
  check<ShapeError>(!started_, "tracker: frame ", frame_,
                    " has other sizes or another device than frame 0; reset() between videos");
  state_ = ops::make_tracker_state({.queries = count,
                                    .logits = queries.logits.size(1),
                                    .object_depth = queries.object.size(1),
                                    .appearance_depth = queries.appearance.size(1),
                                    .window = config_.window},
                                   queries.logits.device());
}

DeviceTracker::Queued VisageTracker::queue(const FrameQueries& queries) {
  check_fits(queries);
  started_ = true;
  state_.assignment = Tensor::empty(state_.assignment.size(), DType::i32, state_.assignment.device());
  state_.outcome = Tensor::empty(state_.outcome.size(), DType::f64, state_.outcome.device());
  ops::tracker_step(state_, {queries.logits, queries.object, queries.appearance},
                    {.alpha = config_.alpha, .weighting = config_.weighting});
  return {state_.assignment, state_.outcome};
}

FrameTracks VisageTracker::read(const Queued& copy) {
  const int refusal = static_cast<int>(copy.outcome.data<double>()[1]);
  check(refusal == 0, "tracker: frame ", frame_, ": ", refused_part(refusal),
        " has a value that is not finite; check the weights and the input");
  ++frame_;
  const auto* query_of_slot = copy.assignment.data<std::int32_t>();
  return {.query_of_track = {query_of_slot, query_of_slot + copy.assignment.numel()},
          .similarity = copy.outcome.data<double>()[0]};
}

FrameTracks VisageTracker::step(const FrameQueries& queries) {
  const Queued queued = queue(queries);
  return read({to_device(queued.assignment, {}), to_device(queued.outcome, {})});
}

void VisageTracker::reset() {
  if (state_.counters) ops::reset_tracker(state_);
  frame_ = 0;
  started_ = false;
}

Tensor VisageTracker::matched_with(const Tensor& memory) const {
  if (frame_ < 2) return {};
  const Tensor here = to_device(memory, {});
  return Tensor::from(here.size(), here.data<float>());
}

Tensor VisageTracker::scores() const {
  if (frame_ == 0) return {};
  const Tensor ring = to_device(state_.scores, {}), assignment = to_device(state_.assignment, {});
  const std::int64_t slots = ring.size(1), newest = (frame_ - 1) % ring.size(0);
  Tensor scores = Tensor::empty({slots});
  for (std::int64_t slot = 0; slot < slots; ++slot)
    scores.data<float>()[slot] = ring.data<float>()[newest * slots + assignment.data<std::int32_t>()[slot]];
  return scores;
}

}  // namespace visage::tracking
