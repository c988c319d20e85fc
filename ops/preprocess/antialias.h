#pragma once
#include "ops/image_size.h"

#include <cstdint>
#include <vector>

namespace visage::ops {

/// Binary places of the weights. Of the 32 bits of a sum the pixel has 8; 2 are spare for the sign and against
/// overflow.
inline constexpr int kAntialiasBits = 32 - 8 - 2;

/// Taps of one axis of Pillow's Image.resize(BILINEAR): output i is the sum of the inputs first[i] ..
/// first[i] + count[i] - 1 times weights[i * stride ...], and half a unit, shifted right by kAntialiasBits.
struct AntialiasTaps {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<std::int32_t> weights;
};
[[nodiscard]] AntialiasTaps antialias_taps(std::int64_t in, std::int64_t out);

/// Bilinear resize of an 8-bit RGB image with antialiasing: per axis, with ratio r = in / out and filter width
/// f = max(r, 1),
///   out[i] = sum_j w_ij in[j],   w_ij = max(0, 1 - |j + 0.5 - (i + 0.5) r| / f), normalised to sum 1,
/// columns first, then rows, weights in fixed point, the intermediate image rounded to 8 bits: bit by bit what Pillow
/// does. An axis that keeps its length is copied. No size is zero; rows follow each other without gaps.
void resize_antialiased(const std::uint8_t* in, const ImageSize& in_size, std::uint8_t* out, const ImageSize& out_size);

}  // namespace visage::ops
