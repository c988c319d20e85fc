#pragma once
#include "ops/mask_output/mask_output.h"
#include "visage/model/model.h"
#include "visage/tracking/tracker.h"

#include <string>
#include <vector>

namespace visage::pipeline {

/// What the detector says about one frame, in the form that tracks are made of; row q of everything is query q. All on
/// the host but mask_logits.
struct QueryFrame {
  tracking::FrameQueries queries;
  Tensor decoder;                        // [Q, C] the queries as they leave the decoder, before the embedding heads
  Tensor mask_logits;                    // [Q, h, w] of the padded network input, at a quarter of its size; where the
                                         // detector is
  ops::ImageSize size;                   // of the masks
  std::vector<ops::QueryMask> masks;     // at the output size
  std::vector<std::string> run_lengths;  // the same masks as compressed run-length strings; empty without any pixel
};

/// Frame `item` of a detected batch. On the CPU the tensors are windows on the batch.
[[nodiscard]] QueryFrame query_frame(const Detection& batch, std::int64_t item, const ops::MaskSizes& sizes);

}  // namespace visage::pipeline
