#pragma once
#include "models/mask2former/targets.h"
#include "tensor/tensor.h"
#include "train/data/clip_sampler.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace visage::train {

/// Input of one training step, on the CPU.
struct Batch {
  int64_t step = 0;
  int64_t clips = 0, frames = 0;      // B, T
  Tensor images;                      // [B*T, H, W, 3] f32, normalised as the network wants them, zeros as padding
  std::vector<FrameTargets> targets;  // B*T, frame t of clip b at b*T + t
  std::vector<media::Size> sizes;     // B*T, without the padding at the right and the bottom
  std::vector<std::string> sources;   // B, which video and frames
};

/// Pads images and masks further at the right and the bottom, to a height and a width not below theirs.
void pad_batch(Batch& batch, int64_t height, int64_t width);

/// Pads clips of equal length at the right and the bottom to the largest of their sizes, rounded up to multiples of 32.
[[nodiscard]] Batch collate(std::span<const ClipSample> clips, int64_t step);

}  // namespace visage::train
