#include "models/mask2former/targets.h"

#include "tensor/transfer.h"

#include <algorithm>

namespace visage {
namespace {

std::vector<std::int64_t> counts_of(std::span<const FrameTargets> frames) {
  std::vector<std::int64_t> counts;
  for (const FrameTargets& frame : frames) counts.push_back(frame.count());
  return counts;
}

// The masks of all frames, u8 [instances, H, W].
Tensor all_masks(std::span<const FrameTargets> frames, std::int64_t instances) {
  check<ShapeError>(!frames.empty(), "BatchTargets: there is no frame");
  const Dims& first = frames[0].masks.size();
  Tensor all = Tensor::empty({instances, first[1], first[2]}, DType::u8);
  std::uint8_t* out = all.data<std::uint8_t>();
  for (const FrameTargets& frame : frames) {
    check<ShapeError>(frame.masks.size() == Dims{frame.count(), first[1], first[2]}, "BatchTargets: masks must be [",
                      frame.count(), ", ", first[1], ", ", first[2], "] like those of the first frame; got ",
                      frame.masks.size());
    out = std::copy_n(frame.masks.data<std::uint8_t>(), frame.masks.numel(), out);
  }
  return all;
}

}  // namespace

std::vector<std::int64_t> visible_instances(std::span<const FrameTargets> clip) {
  std::vector<std::int64_t> visible;
  for (std::int64_t i = 0; i < clip.front().count(); ++i)
    if (std::any_of(clip.begin(), clip.end(), [i](const FrameTargets& frame) { return frame.ids[i] >= 0; }))
      visible.push_back(i);
  return visible;
}

std::vector<FrameTargets> clip_targets(std::span<const FrameTargets> frames, std::int64_t length) {
  check<ShapeError>(length >= 1 && std::ssize(frames) % length == 0, "clip_targets: ", frames.size(),
                    " frames are no clips of ", length);
  std::vector<FrameTargets> clips;
  for (std::int64_t first = 0; first < std::ssize(frames); first += length) {
    const auto clip = frames.subspan(first, length);
    const std::vector<std::int64_t> visible = visible_instances(clip);
    const Dims& size = clip.front().masks.size();
    const std::int64_t plane = size[1] * size[2];
    FrameTargets joined{
        .labels = {}, .ids = {}, .masks = Tensor::empty({std::ssize(visible), length * size[1], size[2]}, DType::u8)};
    std::uint8_t* to = joined.masks.data<std::uint8_t>();
    for (const std::int64_t i : visible) {
      joined.labels.push_back(clip.front().labels[i]);
      joined.ids.push_back(i);
      for (const FrameTargets& frame : clip) to = std::copy_n(frame.masks.data<std::uint8_t>() + i * plane, plane, to);
    }
    clips.push_back(std::move(joined));
  }
  return clips;
}

BatchTargets::BatchTargets(std::span<const FrameTargets> frames, Device device)
    : instances(counts_of(frames), device), masks(to_device(all_masks(frames, instances.rows()), device)) {
  const Tensor host = Tensor::empty({instances.rows()}, DType::i64);
  auto* label = host.data<std::int64_t>();
  for (const FrameTargets& frame : frames) {
    label = std::copy(frame.labels.begin(), frame.labels.end(), label);
    ids.insert(ids.end(), frame.ids.begin(), frame.ids.end());
  }
  labels = to_device(host, device);
}

void mark_absent(std::vector<FrameTargets>& frames, std::int64_t num_classes, AbsentLabels rule, Mode mode) {
  if (frames.empty()) return;
  for (std::int64_t i = 0; i < frames[0].count(); ++i) {
    const auto absent = [i](const FrameTargets& frame) { return frame.ids[i] < 0; };
    if (mode == Mode::offline) {
      if (rule == AbsentLabels::release && absent(frames.back()))
        for (FrameTargets& frame : frames) frame.labels[i] = num_classes;
      continue;
    }
    const bool anywhere = std::any_of(frames.begin(), frames.end(), absent);
    for (FrameTargets& frame : frames)
      if (rule == AbsentLabels::release ? anywhere : absent(frame)) frame.labels[i] = num_classes;
  }
}

}  // namespace visage
