#pragma once
#include "models/mask2former/config.h"

namespace visage::test {

/// A detector that is small, but has several classes, heads and turns of the levels.
inline Mask2FormerConfig small_detector(Mode mode) {
  return {.mode = mode,
          .num_classes = 3,
          .num_queries = 5,
          .hidden = 32,
          .heads = 4,
          .points = 2,
          .encoder_layers = 1,
          .encoder_ffn = 48,
          .decoder_layers = 4,
          .decoder_ffn = 48};
}

}  // namespace visage::test
