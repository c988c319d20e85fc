#pragma once
#include "ops/track/memory_weighting.h"

namespace visage {

using ops::MemoryWeighting;

struct TrackingConfig {
  double alpha = 0.75;  // weight of appearance against object similarity, 0 to 1
  int window = 5;       // W, frames a memory bank keeps
  MemoryWeighting weighting = MemoryWeighting::paper;
  friend bool operator==(const TrackingConfig&, const TrackingConfig&) = default;
};

}  // namespace visage
