#include "visage/tracking/mask_overlap.h"

#include <algorithm>
#include <bit>

namespace visage::tracking {

MaskExtent::MaskExtent(const ops::QueryMask& of) : mask(&of) {
  for (std::size_t i = 0; i < of.bits.size(); ++i) {
    if (of.bits[i] == 0) continue;
    if (area == 0) begin = i;
    end = i + 1;
    area += std::popcount(of.bits[i]);
  }
}

std::int64_t shared_pixels(const MaskExtent& a, const MaskExtent& b) {
  std::int64_t shared = 0;
  for (std::size_t i = std::max(a.begin, b.begin); i < std::min(a.end, b.end); ++i)
    shared += std::popcount(a.mask->bits[i] & b.mask->bits[i]);
  return shared;
}

}  // namespace visage::tracking
