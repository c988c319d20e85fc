#pragma once
#include "ops/track/memory_weighting.h"
#include "tensor/view.h"

namespace visage::ops::tracker_detail {

/// Entries of the counters.
inline constexpr int kFrames = 0;   // tracked so far
inline constexpr int kArrived = 1;  // blocks that have done their part of the step; CUDA only
inline constexpr int kRefusal = 2;  // TrackerRefusal bits found so far; CUDA only
inline constexpr int kCounters = 3;

/// Shapes as in TrackerState and TrackerFrame.
struct Step {
  View logits, object, appearance;
  View object_ring, appearance_ring, scores, query_of_slot, logit_sums, counters, scratch;
  View object_memory, appearance_memory, similarity, assignment, outcome;
  float alpha;
  MemoryWeighting weighting;
};
void step_cpu(const Step& args);
void step_cuda(const Step& args, StreamHandle stream);

void reset_cuda(const View& counters, StreamHandle stream);

/// Most frames of memory that the CUDA step can weigh in shared memory.
inline constexpr std::int64_t kMostFrames = 1024;

/// Bytes of global memory that the CUDA step wants for its assignment.
std::int64_t scratch_bytes(std::int64_t queries);

}  // namespace visage::ops::tracker_detail
