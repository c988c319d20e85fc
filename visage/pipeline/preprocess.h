#pragma once
#include "tensor/tensor.h"
#include "visage/media/image.h"

#include <span>

namespace visage::pipeline {

/// Network input of frames of one size: (rgb - mean) / std with the ImageNet statistics of detectron2's configs, then
/// zeros at the bottom and the right up to multiples of 32. Returns [N, H, W, 3] f32.
/// throws InputError if the frames differ in size or one is empty.
[[nodiscard]] Tensor network_input(std::span<const media::Image> frames);

}  // namespace visage::pipeline
