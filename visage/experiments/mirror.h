#pragma once
#include "visage/annotation/rle.h"
#include "visage/media/image.h"

namespace visage::experiments {

/// Left and right exchanged.
[[nodiscard]] media::Image mirrored(const media::Image& image);
[[nodiscard]] annotation::Rle mirrored(const annotation::Rle& mask);

}  // namespace visage::experiments
