#pragma once
#include "ops/track/memory_weighting.h"
#include "tensor/tensor.h"

#include <cstdint>

namespace visage::ops {

/// Sizes of every frame of a video: Q queries, which are as many track slots, and W frames of memory.
struct TrackerSizes {
  std::int64_t queries = 0;           // Q
  std::int64_t logits = 0;            // C + 1, the last of which is "no object"
  std::int64_t object_depth = 0;      // D
  std::int64_t appearance_depth = 0;  // A
  std::int64_t window = 0;            // W, at least 1
};

/// Why a frame was not tracked: what has a value that is not finite. Bits, so that they can be combined.
enum TrackerRefusal : std::int32_t {
  kLogitsNotFinite = 1,
  kObjectNotFinite = 2,
  kAppearanceNotFinite = 4,
  kSimilarityNotFinite = 8,
};

/// What a tracker knows about a video, all of it on one device, so that a step needs nothing from the host.
/// The ring keeps the frames as they came, in query order, beside the query that each slot has in them: nothing moves
/// when a frame is inserted. It has one entry more than the window, for the frame that comes in while the others are
/// read; frame t is entry t mod (W + 1).
struct TrackerState {
  Tensor object;         // f32 [W+1, Q, D]
  Tensor appearance;     // f32 [W+1, Q, A]
  Tensor scores;         // f32 [W+1, Q], by query
  Tensor query_of_slot;  // i32 [W+1, Q]
  Tensor logit_sums;     // f64 [Q, C+1], by slot: sums over all frames
  Tensor counters;       // i32 [3]: frames tracked; two that the step uses within itself, 0 between steps
  Tensor scratch;        // for the assignment; empty where it fits into shared memory

  // About the last frame, by slot.
  Tensor object_memory, appearance_memory;  // f32 [Q, D], [Q, A]: what it was matched with; undefined for the first
  Tensor similarity;                        // f32 [Q, Q]: slots x queries; undefined for the first
  Tensor assignment;                        // i32 [Q]: the query of each slot; -1 if the frame was refused
  Tensor outcome;                           // f64 [2]: sum of the similarities of the pairs; TrackerRefusal bits
};

/// The state before the first frame. throws ShapeError for negative sizes, C < 1, W < 1 or, on a GPU,
/// W > 1024.
[[nodiscard]] TrackerState make_tracker_state(const TrackerSizes& sizes, Device device = {});

/// Forgets everything: the next frame is the first of a video.
void reset_tracker(const TrackerState& state);

/// What the detector says about one frame, f32, contiguous, on the device of the state.
struct TrackerFrame {
  Tensor logits;      // [Q, C+1]
  Tensor object;      // [Q, D]
  Tensor appearance;  // [Q, A]
};

struct TrackerStepOptions {
  double alpha = 0.75;  // weight of appearance against object similarity, 0 to 1
  MemoryWeighting weighting = MemoryWeighting::paper;
};

/// One frame of the tracker of VISAGE, in one launch and without waiting for the device. The first frame of a video
/// gives slot q query q; for every later one
///   read    m_k = sum_w weight(w, k) embedding(t - w, k) of both kinds (VISAGE, Eq. 1)
///   match   maximise the sum of (1 - alpha) cos(object memory, object) + alpha cos(appearance memory, appearance) over
///           one-to-one assignments of slots and queries; ties as in ops::assign
///   insert  the frame into the ring, with the assignment and the scores max_{c < C} softmax(logits_q)_c
/// A frame with a value that is not finite is refused: `outcome` says why, and the memory is as before.
/// Not differentiable. throws ShapeError, DTypeError or DeviceError for a frame that does not fit the state, Error if
/// alpha is outside [0, 1].
void tracker_step(const TrackerState& state, const TrackerFrame& frame, const TrackerStepOptions& options = {});

}  // namespace visage::ops
