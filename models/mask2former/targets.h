#pragma once
#include "models/mask2former/config.h"
#include "ops/shape/row_ranges.h"
#include "tensor/tensor.h"

#include <cstdint>
#include <span>
#include <vector>

namespace visage {

/// What a frame shows, or a clip (clip_targets). All frames of a clip list the same instances in the same order.
struct FrameTargets {
  std::vector<std::int64_t> labels;  // class of every instance; num_classes stands for "no object"
  std::vector<std::int64_t> ids;     // instance id, -1 where it is not visible
  Tensor masks;                      // u8 [instances, H, W] at the size of the network input; empty where not visible

  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

/// The instances that a frame of the clip shows, ascending.
[[nodiscard]] std::vector<std::int64_t> visible_instances(std::span<const FrameTargets> clip);

/// The targets of Mode::offline, one item a clip of `length` frames: the instances that a frame of it shows, with the
/// masks of its frames one below the other, u8 [instances, length * H, W].
[[nodiscard]] std::vector<FrameTargets> clip_targets(std::span<const FrameTargets> frames, std::int64_t length);

/// The targets of a batch of frames, or of clips, where the model is: brought there once, for all heads of the
/// criterion. The instances of all frames are numbered through, frame by frame.
struct BatchTargets {
  /// throws ShapeError if there is no frame or their masks differ in size.
  BatchTargets(std::span<const FrameTargets> frames, Device device);

  ops::RowRanges instances;       // of every frame
  std::vector<std::int64_t> ids;  // on the host
  Tensor labels;                  // i64 [instances of all frames]
  Tensor masks;                   // u8 [instances of all frames, H, W]
};

/// How an instance that is missing from a frame of its clip is trained (docs/fidelity.md).
enum class AbsentLabels {
  // As "no object" in every frame of the clip, since the frames of the released code share one list of labels; with
  // Mode::offline if it is missing from the last frame, whose labels the released code takes for the clip.
  release,
  // As "no object" in the frames it is missing from; with Mode::offline as what it is.
  fixed,
};

/// Sets the label of instances that are not visible to `num_classes`. `frames` is one clip.
void mark_absent(std::vector<FrameTargets>& frames, std::int64_t num_classes, AbsentLabels rule, Mode mode);

}  // namespace visage
