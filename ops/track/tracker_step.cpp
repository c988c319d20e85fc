#include "ops/track/tracker_step.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/track/tracker_step_kernels.h"

#include <algorithm>

namespace visage::ops {
namespace {

constexpr const char* kOp = "tracker_step";

void check_rows(const char* name, const Tensor& x, const Tensor& like, Device device) {
  const Dims want{like.size(-2), like.size(-1)};
  check<ShapeError>(x && x.size() == want && x.is_contiguous(), kOp, ": ", name, " must be contiguous ", want,
                    ", as the state was made for; got ", x ? x.size() : Dims{});
  check<DTypeError>(x.dtype() == DType::f32, kOp, ": ", name, " must be f32; got ", x.dtype());
  check<DeviceError>(x.device() == device, kOp, ": ", name, " must be on the device of the state");
}

}  // namespace

TrackerState make_tracker_state(const TrackerSizes& sizes, Device device) {
  const auto& [queries, logits, object_depth, appearance_depth, window] = sizes;
  check<ShapeError>(queries >= 0 && logits >= 2 && object_depth >= 0 && appearance_depth >= 0 && window >= 1,
                    "tracker_step: impossible sizes: ", queries, " queries, ", logits, " logits, ", object_depth,
                    " and ", appearance_depth, " channels, window ", window);
  check<ShapeError>(device.type == DeviceType::cpu || window <= tracker_detail::kMostFrames,
                    "tracker_step: a GPU keeps at most ", tracker_detail::kMostFrames, " frames; got ", window,
                    "; keep fewer or use device cpu");
  const std::int64_t entries = window + 1;
  TrackerState state{
      .object = Tensor::empty({entries, queries, object_depth}, DType::f32, device),
      .appearance = Tensor::empty({entries, queries, appearance_depth}, DType::f32, device),
      .scores = Tensor::empty({entries, queries}, DType::f32, device),
      .query_of_slot = Tensor::empty({entries, queries}, DType::i32, device),
      .logit_sums = Tensor::empty({queries, logits}, DType::f64, device),
      .counters = Tensor::empty({tracker_detail::kCounters}, DType::i32, device),
      .scratch = {},
      .object_memory = Tensor::empty({queries, object_depth}, DType::f32, device),
      .appearance_memory = Tensor::empty({queries, appearance_depth}, DType::f32, device),
      .similarity = Tensor::empty({queries, queries}, DType::f32, device),
      .assignment = Tensor::empty({queries}, DType::i32, device),
      .outcome = Tensor::empty({2}, DType::f64, device),
  };
  on_device(
      device, [] {},
      [&](StreamHandle) {
        state.scratch = Tensor::empty({tracker_detail::scratch_bytes(queries)}, DType::u8, device);
      });
  reset_tracker(state);
  return state;
}

void reset_tracker(const TrackerState& state) {
  on_device(
      state.counters.device(), [&] { std::fill_n(state.counters.data<std::int32_t>(), tracker_detail::kCounters, 0); },
      [&](StreamHandle stream) { tracker_detail::reset_cuda(state.counters.view(), stream); });
}

void tracker_step(const TrackerState& state, const TrackerFrame& frame, const TrackerStepOptions& options) {
  check<ShapeError>(static_cast<bool>(state.counters), kOp, ": the state is empty; call make_tracker_state first");
  const Device device = state.counters.device();
  check_rows("logits", frame.logits, state.logit_sums, device);
  check_rows("object", frame.object, state.object, device);
  check_rows("appearance", frame.appearance, state.appearance, device);
  check(options.alpha >= 0 && options.alpha <= 1, kOp, ": alpha must be from 0 to 1; got ", options.alpha);
  autograd::not_differentiable(kOp, {frame.logits, frame.object, frame.appearance});
  const tracker_detail::Step step{frame.logits.view(),        frame.object.view(),
                                  frame.appearance.view(),    state.object.view(),
                                  state.appearance.view(),    state.scores.view(),
                                  state.query_of_slot.view(), state.logit_sums.view(),
                                  state.counters.view(),      state.scratch ? state.scratch.view() : View{},
                                  state.object_memory.view(), state.appearance_memory.view(),
                                  state.similarity.view(),    state.assignment.view(),
                                  state.outcome.view(),       static_cast<float>(options.alpha),
                                  options.weighting};
  note_work(2.0 * static_cast<double>(state.similarity.numel()) *
                static_cast<double>(frame.object.size(1) + frame.appearance.size(1)),
            frame.logits, frame.object, frame.appearance, state.object, state.appearance, state.similarity);
  on_device(
      device, [&] { tracker_detail::step_cpu(step); },
      [&](StreamHandle stream) { tracker_detail::step_cuda(step, stream); });
}

}  // namespace visage::ops
