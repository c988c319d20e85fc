#pragma once

namespace visage::ops {

/// How a memory of W frames weighs frame t-w (w = 1 is the newest) with score s when it is read at frame t.
enum class MemoryWeighting {
  paper,    // s * W/w: the newest frame weighs most (Eq. 1)
  release,  // (s + w/n) / sum of the same over the n stored frames: the newest weighs least (the released code)
};

}  // namespace visage::ops
