#pragma once
#include "tensor/tensor.h"

#include <initializer_list>
#include <vector>

namespace visage::ops {

/// Bilinear resizing of an image, `align_corners = false`, no antialiasing: output pixel d reads the source coordinate
/// max((d + 0.5) * in / out - 0.5, 0) and blends its two neighbours in each axis, the upper one clamped to the border.
/// x [N,H,W,C] f32, any strides with contiguous channels -> [N,height,width,C] f32. Differentiable.
/// throws ShapeError for another rank or an empty size, DTypeError for another type.
[[nodiscard]] Tensor resize_bilinear(const Tensor& x, std::int64_t height, std::int64_t width);

/// The same for planes: x [..., H, W] f32 contiguous -> [..., height, width]. Differentiable.
[[nodiscard]] Tensor resize_bilinear_planes(const Tensor& x, std::int64_t height, std::int64_t width);

/// y += resize_bilinear(low, H, W) in place, for exactly doubled sizes: the top-down step of a feature pyramid.
/// low [N,H/2,W/2,C] and y [N,H,W,C], f32 or bf16 each (sums in f32), any strides with contiguous channels.
void upsample2x_add(const Tensor& low, const Tensor& y);

/// Mean of the four centre pixels of every ratio x ratio cell, for one ratio or several: 2, 4 or 8, dividing both
/// sizes. This is bilinear resizing to 1 / ratio: the source coordinate ratio * d + (ratio - 1) / 2 lies halfway
/// between two pixels. y [N,H,W,C], f32 or bf16 -> a map [N,H/ratio,W/ratio,C] of the same type a ratio.
[[nodiscard]] std::vector<Tensor> pool_center(const Tensor& y, std::initializer_list<std::int64_t> ratios);

}  // namespace visage::ops
