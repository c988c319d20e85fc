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

/// [N, H, W, ...] with zeros beyond H and W.
Tensor padded(const Tensor& x, int64_t height, int64_t width) {
  Dims size = x.size();
  const int64_t rows = size[1];
  size[1] = height;
  size[2] = width;
  const Tensor y = Tensor::zeros(size, x.dtype());
  if (x.numel() == 0) return y;
  const auto row_bytes = static_cast<int64_t>(x.nbytes()) / (x.size(0) * rows);
  const auto padded_bytes = static_cast<int64_t>(y.nbytes()) / (y.size(0) * height);
  const auto* const from = static_cast<const char*>(x.view().data);
  auto* const to = static_cast<char*>(y.view().data);
  for (int64_t n = 0; n < x.size(0); ++n)
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(to + (n * height + row) * padded_bytes, from + (n * rows + row) * row_bytes,
                  static_cast<std::size_t>(row_bytes));
  return y;
}

}  // namespace

void pad_batch(Batch& batch, int64_t height, int64_t width) {
  check<ShapeError>(height >= batch.images.size(1) && width >= batch.images.size(2), "pad_batch: images of ",
                    batch.images.size(), " to ", height, " x ", width);
  if (height == batch.images.size(1) && width == batch.images.size(2)) return;
  batch.images = padded(batch.images, height, width);
  for (FrameTargets& frame : batch.targets) frame.masks = padded(frame.masks, height, width);
}

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
