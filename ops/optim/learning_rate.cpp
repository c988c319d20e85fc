#include "ops/optim/learning_rate.h"

#include "tensor/error.h"

#include <algorithm>
#include <cmath>

namespace visage::ops {
namespace {

double multi_step(const LearningRateSchedule& schedule, std::int64_t iteration) {
  const auto& steps = schedule.milestones;
  const auto reached = std::upper_bound(steps.begin(), steps.end(), iteration) - steps.begin();
  return schedule.base * std::pow(schedule.decay, static_cast<double>(reached));
}

}  // namespace

double learning_rate(const LearningRateSchedule& schedule, std::int64_t iteration) {
  check<UsageError>(iteration >= 0 && schedule.warmup_iterations >= 0,
                    "learning rate: iterations cannot be negative; got iteration ", iteration, ", warm-up ",
                    schedule.warmup_iterations);
  check<UsageError>(std::is_sorted(schedule.milestones.begin(), schedule.milestones.end()),
                    "learning rate: the milestones must ascend");
  if (iteration >= schedule.warmup_iterations) return multi_step(schedule, iteration);
  const double first = schedule.warmup_factor * multi_step(schedule, 0);
  const double last = multi_step(schedule, schedule.warmup_iterations);
  return first + (last - first) * static_cast<double>(iteration) / static_cast<double>(schedule.warmup_iterations);
}

}  // namespace visage::ops
