#include "ops/assign/hungarian.h"
#include "ops/track/class_score_kernels.h"
#include "ops/track/cosine.h"
#include "ops/track/tracker_step.h"
#include "ops/track/tracker_step_kernels.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>
#include <vector>

namespace visage::ops::tracker_detail {
namespace {

bool all_finite(const View& x) {
  constexpr std::uint32_t exponent = 0x7f800000u;
  std::uint32_t found = 0;
  const float* values = x.as<float>();
  const std::int64_t count = x.size.numel();
  for (std::int64_t i = 0; i < count; ++i) found |= (std::bit_cast<std::uint32_t>(values[i]) & exponent) == exponent;
  return found == 0;
}

View entry_of(const View& ring, std::int64_t entry) {
  View one = ring;
  const std::int64_t size = ring.size.numel() / ring.size[0];
  one.data = ring.as<char>() + entry * size * static_cast<std::int64_t>(size_of(ring.dtype));
  one.size = {};
  for (int axis = 1; axis < ring.size.rank; ++axis) one.size.append(ring.size[axis]);
  one.stride = contiguous_strides(one.size);
  return one;
}

/// The memory as it is when frame `frame` comes in.
class Memory {
 public:
  explicit Memory(const Step& args)
      : args_(args),
        slots_(args.logits.size[0]),
        window_(args.scores.size[0] - 1),
        frame_(args.counters.as<std::int32_t>()[kFrames]),
        stored_(std::min(frame_, window_)) {}

  std::int64_t frame() const { return frame_; }
  std::int64_t next_entry() const { return frame_ % (window_ + 1); }

  void read(const View& ring, const View& memory) const {
    const std::int64_t depth = memory.size[1];
    std::vector<float> weights(stored_);
    for (std::int64_t slot = 0; slot < slots_; ++slot) {
      weigh(slot, weights);
      float* out = memory.as<float>() + slot * depth;
      std::fill(out, out + depth, 0.f);
      for (std::int64_t age = 1; age <= stored_; ++age) {
        const float weight = weights[age - 1];
        const float* embedding = ring.as<float>() + (entry(age) * slots_ + query(slot, age)) * depth;
        for (std::int64_t d = 0; d < depth; ++d) out[d] += weight * embedding[d];
      }
    }
  }

 private:
  std::int64_t entry(std::int64_t age) const { return (frame_ - age) % (window_ + 1); }
  std::int64_t query(std::int64_t slot, std::int64_t age) const {
    return args_.query_of_slot.as<std::int32_t>()[entry(age) * slots_ + slot];
  }

  void weigh(std::int64_t slot, std::vector<float>& weights) const {
    for (std::int64_t age = 1; age <= stored_; ++age) {
      const float score = args_.scores.as<float>()[entry(age) * slots_ + query(slot, age)];
      const auto steps = static_cast<float>(age);
      weights[age - 1] = args_.weighting == MemoryWeighting::paper ? score * (static_cast<float>(window_) / steps)
                                                                   : score + steps / static_cast<float>(stored_);
    }
    if (args_.weighting == MemoryWeighting::paper) return;
    const float sum = std::accumulate(weights.begin(), weights.end(), 0.f);
    for (float& weight : weights) weight /= sum;
  }

  const Step& args_;
  std::int64_t slots_, window_, frame_, stored_;
};

/// The query of every slot and the sum of the similarities. throws NonFiniteError.
Assignment match(const Step& args, const Memory& memory) {
  const std::int64_t slots = args.logits.size[0];
  if (memory.frame() == 0) {
    Assignment identity{.column_of_row = std::vector<int>(slots)};
    std::iota(identity.column_of_row.begin(), identity.column_of_row.end(), 0);
    return identity;
  }
  memory.read(args.object_ring, args.object_memory);
  memory.read(args.appearance_ring, args.appearance_memory);
  cosine_cpu({.a = args.object_memory, .b = args.object, .out = args.similarity, .weight = 1 - args.alpha});
  cosine_cpu(
      {.a = args.appearance_memory, .b = args.appearance, .out = args.similarity, .weight = args.alpha, .beta = 1});
  const std::span similarity(args.similarity.as<const float>(), static_cast<std::size_t>(slots * slots));
  return assign(similarity, slots, slots, Objective::maximise);
}

void insert(const Step& args, const Memory& memory, const std::vector<int>& query_of_slot) {
  const std::int64_t entry = memory.next_entry(), slots = args.logits.size[0], logits = args.logits.size[1];
  for (const auto& [ring, rows] : {std::pair(args.object_ring, args.object), {args.appearance_ring, args.appearance}})
    std::copy_n(rows.as<float>(), rows.size.numel(), entry_of(ring, entry).as<float>());
  max_class_score_cpu({.logits = args.logits, .out = entry_of(args.scores, entry)});
  std::ranges::copy(query_of_slot, entry_of(args.query_of_slot, entry).as<std::int32_t>());
  std::ranges::copy(query_of_slot, args.assignment.as<std::int32_t>());
  double* sums = args.logit_sums.as<double>();
  if (memory.frame() == 0) std::fill_n(sums, slots * logits, 0.0);
  for (std::int64_t slot = 0; slot < slots; ++slot)
    for (std::int64_t c = 0; c < logits; ++c)
      sums[slot * logits + c] += args.logits.as<float>()[query_of_slot[slot] * logits + c];
  ++args.counters.as<std::int32_t>()[kFrames];
}

void refuse(const Step& args, std::int32_t why) {
  std::fill_n(args.assignment.as<std::int32_t>(), args.assignment.size[0], -1);
  args.outcome.as<double>()[0] = 0;
  args.outcome.as<double>()[1] = why;
}

}  // namespace

void step_cpu(const Step& args) {
  std::int32_t why = 0;
  if (!all_finite(args.logits)) why |= kLogitsNotFinite;
  if (!all_finite(args.object)) why |= kObjectNotFinite;
  if (!all_finite(args.appearance)) why |= kAppearanceNotFinite;
  if (why) return refuse(args, why);
  const Memory memory(args);
  try {
    const Assignment matches = match(args, memory);
    insert(args, memory, matches.column_of_row);
    args.outcome.as<double>()[0] = matches.total;
    args.outcome.as<double>()[1] = 0;
  } catch (const NonFiniteError&) {
    refuse(args, kSimilarityNotFinite);
  }
}

}  // namespace visage::ops::tracker_detail
