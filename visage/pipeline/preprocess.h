#pragma once
#include "tensor/tensor.h"
#include "visage/media/image.h"

#include <span>

namespace visage::pipeline {

/// Side of the network's input for an image side of `pixels`: the next multiple of 32, the stride of the coarsest
/// level.
[[nodiscard]] std::int64_t padded_side(std::int64_t pixels);

/// Writes (rgb - mean) / std of every pixel of `frame`, with the ImageNet statistics of detectron2's configs, to rows
/// of `row_pixels` >= width pixels of 3 floats; what lies right of the frame stays as it is.
void normalise(const media::Image& frame, float* to, std::int64_t row_pixels);

/// Network input of frames of one size: normalised, with zeros at the bottom and the right up to padded_side().
/// Returns [N, H, W, 3] f32.
/// throws InputError if the frames differ in size or one is empty.
[[nodiscard]] Tensor network_input(std::span<const media::Image> frames);

}  // namespace visage::pipeline
