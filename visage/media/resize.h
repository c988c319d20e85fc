#pragma once
#include "visage/media/image.h"

namespace visage::media {

/// Size of the network's input for a frame of size `in`: the shorter edge becomes `shortest` pixels, unless the longer
/// one would then exceed `longest`, in which case that one becomes `longest`. With s = shortest / min(w, h), reduced to
/// longest / max(w, h) where needed, each side is floor(s * side + 0.5), at least 1.
/// Source: the test-time augmentation of detectron2 (ResizeShortestEdge), evaluated in the same order in double
/// precision. Throws UsageError when shortest < 1 or longest < 1, InputError when `in` is empty.
[[nodiscard]] Size resized_size(Size in, int shortest, int longest);

/// Bilinear resize with antialiasing: per axis, with ratio r = in / out and filter width f = max(r, 1),
///   out[i] = sum_j w_ij in[j],   w_ij = max(0, 1 - |j + 0.5 - (i + 0.5) r| / f), normalised to sum 1,
/// columns first, then rows, weights in 22-bit fixed point, the intermediate image rounded to 8 bits. This is the
/// filter of Pillow's Image.resize(BILINEAR), which the official pipeline uses; results are equal bit by bit. An axis
/// that keeps its length is copied. Throws UsageError when `out` is empty.
[[nodiscard]] Image resize(const Image& image, Size out);

}  // namespace visage::media
