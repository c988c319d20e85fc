#pragma once
#include "ops/mask_output/mask_output.h"
#include "visage/model/model.h"
#include "visage/tracking/tracker.h"

#include <optional>
#include <string>
#include <vector>

namespace visage::pipeline {

/// What the detector says about one frame, in the form that tracks are made of; row q of everything is query q. The
/// tensors are where the detector is, unless it says otherwise, masks and run lengths on the host.
struct QueryFrame {
  tracking::FrameQueries queries;        // without the masks, which are below
  Tensor host_logits;                    // [Q, C+1] the logits of the queries on the host
  Tensor mask_logits;                    // [Q, h, w] of the padded network input, at a quarter of its size
  ops::ImageSize size;                   // of the masks
  std::vector<ops::QueryMask> masks;     // at the output size
  std::vector<std::string> run_lengths;  // the same masks as compressed run-length strings; empty without any pixel
  /// On the host: what the step of a tracker left that was queued behind the detector (FrameDetector).
  std::optional<tracking::DeviceTracker::Queued> tracked;
  /// The tracks, where the queries are those of clips (ChunkDetector).
  std::optional<tracking::FrameTracks> tracks = {};
};

/// Frame `item` of a detected batch without its masks. The tensors are windows on the batch, so they live until the
/// next detection.
[[nodiscard]] QueryFrame query_frame(const Detection& batch, std::int64_t item);
/// The same with its masks; waits for the device.
[[nodiscard]] QueryFrame query_frame(const Detection& batch, std::int64_t item, const ops::MaskSizes& sizes);

/// A copy on the host; waits for the device.
[[nodiscard]] ops::MaskBatch to_host(const ops::MaskBatch& masks);
/// Sets masks and run lengths.
void set_masks(QueryFrame& frame, std::vector<ops::QueryMask> masks, const ops::ImageSize& size);

}  // namespace visage::pipeline
