#include "train/data/batch.h"

#include "visage/pipeline/preprocess.h"

#include <algorithm>
#include <cstring>

namespace visage::train {
namespace {

FrameTargets padded_targets(const ClipSample& clip, const FrameSample& frame, int64_t height, int64_t width) {
  const auto count = static_cast<int64_t>(clip.labels.size());
  FrameTargets targets{
      .labels = clip.labels, .ids = frame.ids, .masks = Tensor::zeros({count, height, width}, DType::u8)};
  for (int64_t i = 0; i < count; ++i) {
    if (frame.masks[i].empty()) continue;
    for (int64_t y = 0; y < frame.image.height; ++y)
      std::memcpy(targets.masks.data<uint8_t>() + (i * height + y) * width, &frame.masks[i][y * frame.image.width],
                  frame.image.width);
  }
  return targets;
}

}  // namespace

Batch collate(std::span<const ClipSample> clips, int64_t step) {
  check<UsageError>(!clips.empty() && !clips[0].frames.empty(), "collate: no clips");
  Batch batch{.step = step,
              .clips = static_cast<int64_t>(clips.size()),
              .frames = static_cast<int64_t>(clips[0].frames.size())};
  media::Size largest;
  for (const ClipSample& clip : clips) {
    check<UsageError>(static_cast<int64_t>(clip.frames.size()) == batch.frames, "collate: clips of ", batch.frames,
                      " and ", clip.frames.size(), " frames; give every source the same number");
    for (const FrameSample& frame : clip.frames) {
      largest.width = std::max(largest.width, frame.image.width);
      largest.height = std::max(largest.height, frame.image.height);
    }
  }
  const int64_t height = pipeline::padded_side(largest.height), width = pipeline::padded_side(largest.width);
  batch.images = Tensor::empty({batch.clips * batch.frames, height, width, 3});
  std::int64_t index = 0;
  for (const ClipSample& clip : clips) {
    batch.sources.push_back(clip.description());
    for (const FrameSample& frame : clip.frames) {
      const ops::ImageSize size{frame.image.height, frame.image.width};
      pipeline::write_network_input(frame.image, ops::plan_input(size, size, {height, width}), batch.images, index++);
      batch.sizes.push_back(frame.image.size());
      batch.targets.push_back(padded_targets(clip, frame, height, width));
    }
  }
  return batch;
}

}  // namespace visage::train
