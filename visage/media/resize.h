#pragma once
#include "visage/media/image.h"

namespace visage::media {

/// Size of the network's input for a frame of size `in`: the shorter edge becomes `shortest` pixels, unless the longer
/// one would then exceed `longest`, in which case that one becomes `longest`. With s = shortest / min(w, h), reduced to
/// longest / max(w, h) where needed, each side is floor(s * side + 0.5), at least 1.
/// Source: the test-time augmentation of detectron2 (ResizeShortestEdge), evaluated in the same order in double
/// precision. Throws UsageError when shortest < 1 or longest < 1, InputError when `in` is empty.
[[nodiscard]] Size resized_size(Size in, int shortest, int longest);

/// Bilinear resize with antialiasing, bit by bit that of Pillow's Image.resize(BILINEAR), which the official pipeline
/// uses (ops::resize_antialiased). Throws UsageError when `out` is empty.
[[nodiscard]] Image resize(const Image& image, Size out);

}  // namespace visage::media
