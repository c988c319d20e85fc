#include "tensor/stage_timer.h"

#include <algorithm>
#include <ctime>
#include <mutex>

namespace visage {
namespace {

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Table {
  std::mutex mutex;
  std::vector<StageTime> stages;
};
Table& table() {
  static Table all;
  return all;
}

}  // namespace

StageTimer::StageTimer(const char* name)
    : name_(name),
      recorder_(Recorder::current()),
      shown_(detail::ranges_shown()),
      wall_(seconds(CLOCK_MONOTONIC)),
      cpu_(seconds(CLOCK_PROCESS_CPUTIME_ID)) {
  if (recorder_) recorder_->begin(Span::Kind::stage, name);
  if (shown_) detail::begin_range(name);
}

StageTimer::~StageTimer() {
  if (shown_) detail::end_range();
  if (recorder_) recorder_->end();
  const double wall = seconds(CLOCK_MONOTONIC) - wall_, cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_;
  const std::lock_guard lock(table().mutex);
  auto& stages = table().stages;
  auto found = std::find_if(stages.begin(), stages.end(), [&](const StageTime& s) { return s.name == name_; });
  if (found == stages.end()) found = stages.insert(stages.end(), StageTime{name_, 0, 0, 0});
  ++found->calls;
  found->wall_seconds += wall;
  found->cpu_seconds += cpu;
}

std::vector<StageTime> stage_times() {
  const std::lock_guard lock(table().mutex);
  return table().stages;
}

void reset_stage_times() {
  const std::lock_guard lock(table().mutex);
  table().stages.clear();
}

}  // namespace visage
