#pragma once

namespace visage {

struct ResNetConfig {
  int depth = 50;  // 18, 34 (basic blocks) or 50, 101 (bottlenecks)
  int width = 64;  // channels of the stem and of the first stage's 3x3 convolutions
};

}  // namespace visage
