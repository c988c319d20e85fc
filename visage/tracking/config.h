#pragma once

namespace visage {

/// How a memory bank weighs frame t-w (w = 1 is the newest) with score s when it is read at frame t.
enum class MemoryWeighting {
  paper,    // s * W/w: the newest frame weighs most (Eq. 1)
  release,  // (s + w/n) / sum of the same over the n stored frames: the newest weighs least (the released code)
};

struct TrackingConfig {
  double alpha = 0.75;  // weight of appearance against object similarity, 0 to 1
  int window = 5;       // W, frames a memory bank keeps
  MemoryWeighting weighting = MemoryWeighting::paper;
  friend bool operator==(const TrackingConfig&, const TrackingConfig&) = default;
};

}  // namespace visage
