#pragma once
#include "visage/annotation/polygon.h"
#include "visage/annotation/rle.h"

#include <vector>

namespace visage::annotation {

/// Rings along the pixel edges of a mask, one for every 4-connected part, in the order of their first rows. A hole is
/// joined to its ring by a seam of no width that is walked there and back, so rle_from_polygons() gives back the mask,
/// bit by bit, with `tolerance` 0. Otherwise corners are left out that lie within `tolerance` pixels of what remains
/// (Douglas and Peucker 1973), and holes smaller than that vanish. An empty mask has no ring.
/// throws UsageError unless `tolerance` is 0 or more.
[[nodiscard]] std::vector<Polygon> polygons_of(const Rle& mask, double tolerance = 0);

/// The same as one ring: further parts are joined by seams, too. Empty for an empty mask.
[[nodiscard]] Polygon polygon_of(const Rle& mask, double tolerance = 0);

}  // namespace visage::annotation
