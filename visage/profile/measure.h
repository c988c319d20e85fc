#pragma once
#include "tensor/recorder.h"

#include <functional>
#include <string>
#include <vector>

namespace visage::profile {

struct MeasureOptions {
  Device device;
  std::string unit = "frame";  // name of what is repeated
  int warmup = 3;              // units before the first that counts
  int repeats = 10;            // units timed undisturbed, and as many recorded
};

/// What repeated work took.
struct Measurement {
  std::string unit;
  Device device;
  std::vector<double> latencies;  // seconds of every undisturbed unit, its result in host memory
  std::vector<Span> spans;        // of the recorded ones: a stage of the unit's name for each, everything in it below
};

/// Runs `next` warmup + 2 * repeats times, every time to the end of its work on the device. throws UsageError for
/// counts that make no sense.
[[nodiscard]] Measurement measure(const MeasureOptions& options, const std::function<void()>& next);

}  // namespace visage::profile
