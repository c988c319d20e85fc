#pragma once
#include "tensor/recorder.h"

#include <cstdint>
#include <string>
#include <vector>

namespace visage {

/// Time spent in one named stage by this process.
struct StageTime {
  std::string name;
  std::int64_t calls = 0;
  double wall_seconds = 0;
  double cpu_seconds = 0;  // of all threads of the process
};

/// Adds the time between its construction and its destruction to a stage. Stages are listed in the order of their
/// first use, and seen by the Recorder of the thread and by a GPU profiler (tensor/recorder.h). Two clock reads each:
/// cheap enough to stay on.
class StageTimer {
 public:
  explicit StageTimer(const char* name);
  ~StageTimer();
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  const char* name_;
  Recorder* const recorder_;
  const bool shown_;
  double wall_, cpu_;
};

std::vector<StageTime> stage_times();
void reset_stage_times();

}  // namespace visage
