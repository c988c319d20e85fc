#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// The sine position code of a row and of a column; the code of pixel (y, x) is the concatenation [y row, x row].
struct PositionTables {
  Tensor y;  // [H, features]
  Tensor x;  // [W, features]
};

/// Sine position encoding (Carion et al., DETR, section 3; normalised as in its released form): coordinate
/// p = 2 pi (i + 1) / (n + 1e-6), channel 2j = sin(p / 10000^(2j / features)), channel 2j + 1 the cosine of the same
/// angle. features: channels per axis, even. throws ShapeError if a size is not positive or `features` is odd.
[[nodiscard]] PositionTables sine_position_tables(std::int64_t height, std::int64_t width, std::int64_t features,
                                                  Device device = {});

/// The whole code, [H*W, 2 * features]: channels of y first, then those of x.
[[nodiscard]] Tensor sine_position(std::int64_t height, std::int64_t width, std::int64_t features, Device device = {});

/// The code of one axis alone, [length, features], in the same form.
[[nodiscard]] Tensor sine_axis(std::int64_t length, std::int64_t features, Device device = {});

/// The code of the pixels of a clip (Cheng et al. 2021, Mask2Former for Video Instance Segmentation, section 3.1, as in
/// its released form), [T*H*W, 2 * features]: that of the pixel in its frame, plus that of the frame on an axis of
/// length T, which has all 2 * features channels.
[[nodiscard]] Tensor sine_position_3d(std::int64_t frames, std::int64_t height, std::int64_t width,
                                      std::int64_t features, Device device = {});

}  // namespace visage::ops
