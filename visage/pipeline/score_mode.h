#pragma once

namespace visage::pipeline {

/// When the class and score of a track are settled.
enum class ScoreMode {
  video,   // after the last frame, over all frames: the official protocol
  online,  // at each frame, over the frames up to it: nothing is ever revised
};

}  // namespace visage::pipeline
