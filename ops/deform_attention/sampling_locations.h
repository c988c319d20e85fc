#pragma once
#include "ops/deform_attention/deform_attention.h"

namespace visage::ops {

/// Where the tokens of all levels sample every level (Deformable DETR, section 4.1): the token's own centre plus its
/// learned offset in units of the sampled level,
///   location = ((x + 0.5) / width_own, (y + 0.5) / height_own) + offset / (width_l, height_l)
/// offsets [N, L, heads * levels * points * 2] f32 contiguous, (x, y) innermost, L = sum of the level areas;
/// returns [N, L, heads, levels, points, 2]. Differentiable.
/// throws ShapeError if the sizes do not fit together.
[[nodiscard]] Tensor sampling_locations(const Tensor& offsets, std::span<const LevelShape> shapes, std::int64_t heads,
                                        std::int64_t points);

}  // namespace visage::ops
