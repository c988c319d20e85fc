#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Bilinear values of an image at points (x, y) of the unit square (PointRend, Kirillov et al., section 3.1): point p
/// reads pixel coordinate p * size - 0.5; outside of the image the values are 0.
/// features [N,H,W,C] f32, points [N,P,2] or [1,P,2] f32, both contiguous -> [N,P,C] f32. Differentiable in the
/// features, and in the points unless one set of them serves several images.
/// throws ShapeError or DTypeError if they are not so; AutogradError for a gradient of shared points.
[[nodiscard]] Tensor point_sample(const Tensor& features, const Tensor& points);

/// The same for planes: planes [M,H,W] f32, or u8 or bool without gradient; points [M,P,2] or [1,P,2] -> [M,P].
[[nodiscard]] Tensor point_sample_planes(const Tensor& planes, const Tensor& points);

/// Points for the mask losses, most of them where a mask is undecided (PointRend, section 3.1, training): the
/// points - R candidates with the smallest |logit| (the first ones in a tie), then all R random points.
/// logits [M,H,W], candidates [M,K,2], random [M,R,2], all f32 -> [M,points,2]. The choice has no gradient.
/// throws ShapeError if the sizes do not fit together: R <= points <= K + R; AutogradError if a gradient of an input is
/// wanted.
[[nodiscard]] Tensor uncertain_points(const Tensor& logits, const Tensor& candidates, const Tensor& random,
                                      std::int64_t points);

}  // namespace visage::ops
