#pragma once
#include "visage/media/image.h"

#include <cmath>
#include <cstdint>
#include <vector>

namespace visage::media::test {

/// Smooth picture that moves with `t`, so that lossy codecs keep it nearly and frames can be told apart.
inline Image moving_picture(Size size, int t) {
  Image image(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const double wave = 60 * std::sin(0.1 * x + 0.3 * t) + 40 * std::cos(0.13 * y - 0.2 * t);
      image.pixel(x, y)[0] = static_cast<uint8_t>(120 + wave);
      image.pixel(x, y)[1] = static_cast<uint8_t>(60 + 4 * t);
      image.pixel(x, y)[2] = static_cast<uint8_t>(130 - wave);
    }
  }
  return image;
}

/// Mean absolute difference over all channels, in grey levels; 255 when the sizes differ.
inline double mean_difference(const Image& a, const Image& b) {
  if (a.size() != b.size()) return 255;
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

}  // namespace visage::media::test
