#pragma once
#include <cstddef>

namespace visage {

/// What a query describes.
enum class Mode {
  online,   // an object in one frame
  offline,  // an object in all frames of a clip: Mask2Former-VIS (Cheng et al. 2021)
};

struct Mask2FormerConfig {
  Mode mode = Mode::online;
  int num_classes = 40;
  int num_queries = 100;
  int hidden = 256;  // channels of tokens, queries and mask features; a multiple of `heads` and of 32
  int heads = 8;
  int levels = 3;  // scales of the pixel decoder: res5, res4, res3, ... (1 to 3)
  int points = 4;  // deformable samples a head and level
  int encoder_layers = 6;
  int encoder_ffn = 1024;
  int decoder_layers = 9;  // transformer layers; there is one prediction head more
  int decoder_ffn = 2048;
};

/// Sizes of frames whose position tables an inference plan keeps; at one more it starts anew.
inline constexpr std::size_t kMostPlannedSizes = 16;

}  // namespace visage
