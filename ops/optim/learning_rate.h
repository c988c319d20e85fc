#pragma once
#include <cstdint>
#include <vector>

namespace visage::ops {

struct LearningRateSchedule {
  double base = 1e-4;
  std::vector<std::int64_t> milestones = {};  // iterations, ascending
  double decay = 0.1;                         // factor from each milestone on
  std::int64_t warmup_iterations = 0;
  double warmup_factor = 1;  // share of the rate in iteration 0
};

/// Learning rate of an iteration, counted from 0: base * decay^(milestones reached), and during the warm-up a straight
/// line from warmup_factor times the first rate to the rate where it ends.
/// throws UsageError if the schedule or the iteration makes no sense.
[[nodiscard]] double learning_rate(const LearningRateSchedule& schedule, std::int64_t iteration);

}  // namespace visage::ops
