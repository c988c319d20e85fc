#pragma once
#include "models/mask2former/config.h"
#include "models/resnet/config.h"

namespace visage {

/// Architecture of the whole network. The defaults are the official R50 configuration for YouTube-VIS 2019.
struct ModelConfig {
  ResNetConfig backbone;
  Mask2FormerConfig detector;
  int appearance_levels = 3;  // backbone features pooled for appearance: res3, res4, res5 (the first n of them)
};

}  // namespace visage
