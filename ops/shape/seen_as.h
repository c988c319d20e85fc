#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// The elements of a contiguous view under another shape.
inline View seen_as(const View& x, const Dims& size) {
  return {x.data, size, contiguous_strides(size), x.dtype, x.device};
}

}  // namespace visage::ops
