#pragma once
#include "ops/mask_output/mask_output.h"

#include <cstddef>
#include <cstdint>

namespace visage::tracking {

/// A mask with its area and where in its words it lies, so that masks far apart are compared quickly. The mask must
/// outlive it.
struct MaskExtent {
  explicit MaskExtent(const ops::QueryMask& of);

  const ops::QueryMask* mask;
  std::int64_t area = 0;
  std::size_t begin = 0, end = 0;  // the words that have a pixel
};

/// Pixels of both masks, which are of one size or empty.
[[nodiscard]] std::int64_t shared_pixels(const MaskExtent& a, const MaskExtent& b);

}  // namespace visage::tracking
