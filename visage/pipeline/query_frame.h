#pragma once
#include "ops/mask_output/mask_output.h"
#include "visage/model/model.h"
#include "visage/tracking/tracker.h"

#include <string>
#include <vector>

namespace visage::pipeline {

/// What the detector says about one frame, in the form that tracks are made of; row q of everything is query q. The
/// tensors are where the detector is, masks and run lengths on the host.
struct QueryFrame {
  tracking::FrameQueries queries;
  Tensor decoder;                        // [Q, C] the queries as they leave the decoder, before the embedding heads
  Tensor mask_logits;                    // [Q, h, w] of the padded network input, at a quarter of its size
  ops::ImageSize size;                   // of the masks
  std::vector<ops::QueryMask> masks;     // at the output size
  std::vector<std::string> run_lengths;  // the same masks as compressed run-length strings; empty without any pixel
};

/// Frame `item` of a detected batch. The tensors are windows on the batch, so they live until the next detection.
[[nodiscard]] QueryFrame query_frame(const Detection& batch, std::int64_t item, const ops::MaskSizes& sizes);

}  // namespace visage::pipeline
