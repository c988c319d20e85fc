#pragma once
#include "ops/mask_output/mask_output.h"
#include "ops/preprocess/network_input.h"
#include "tensor/tensor.h"
#include "visage/media/frame_source.h"

#include <span>

namespace visage::pipeline {

/// Side of the network's input for an image side of `pixels`: the next multiple of 32, the stride of the coarsest
/// level.
[[nodiscard]] std::int64_t padded_side(std::int64_t pixels);

/// Sizes that the masks of frames of this size pass on their way from the network, whose input has these edges.
[[nodiscard]] ops::MaskSizes mask_sizes(media::Size frame, int shortest_edge, int longest_edge);

/// throws UsageError for edges that no frame can have.
void check_edges(int shortest_edge, int longest_edge);
/// throws InputError unless the frame has the size of those before.
void check_same_size(const media::Frame& frame, media::Size before);

/// Writes the network input of `frame` (ops::network_input) to image `index` of `batch`, [N, H, W, 3] of any
/// floating-point type on the device of the plan.
void write_network_input(const media::Image& frame, const ops::InputPlan& plan, const Tensor& batch,
                         std::int64_t index);

/// Network input of frames of one size, as large as they are and padded up to padded_side(). Returns [N, H, W, 3] f32.
/// throws InputError if the frames differ in size or one is empty.
[[nodiscard]] Tensor network_input(std::span<const media::Image> frames);

}  // namespace visage::pipeline
