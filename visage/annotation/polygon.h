#pragma once
#include "visage/annotation/rle.h"

#include <span>
#include <vector>

namespace visage::annotation {

/// Largest coordinate a polygon may have, in pixels to either side.
inline constexpr double kMaxCoordinate = 1e5;

/// One ring [x0, y0, x1, y1, ...] in pixels, closed implicitly.
using Polygon = std::vector<double>;

/// Rasterises one ring by COCO's rule (rleFrPoly in cocodataset/cocoapi): coordinates are rounded to a grid five times
/// as fine, every edge is walked there, and the boundary crossings at column centres become runs. An odd last number is
/// ignored. Throws InputError for a bad size, or a coordinate that is not finite or beyond kMaxCoordinate.
[[nodiscard]] Rle rle_from_polygon(int64_t height, int64_t width, std::span<const double> ring);

/// Union of the rings: a ring inside a ring cuts no hole. No ring gives an empty mask.
[[nodiscard]] Rle rle_from_polygons(int64_t height, int64_t width, std::span<const Polygon> rings);

/// The box rasterised as the polygon of its four corners.
[[nodiscard]] Rle rle_from_box(int64_t height, int64_t width, const Box& box);

}  // namespace visage::annotation
