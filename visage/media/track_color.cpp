#include "visage/media/track_color.h"

#include <algorithm>
#include <cmath>

namespace visage::media {

std::array<uint8_t, 3> track_color(int id) {
  constexpr double kGoldenAngle = 0.381966011250105;  // of a full turn: 2 - golden ratio
  const double turns = id * kGoldenAngle;
  const double hue = 6 * (turns - std::floor(turns));
  const unsigned ring = static_cast<unsigned>(id);
  const double value = ring % 2 ? 0.85 : 1.0;
  const double saturation = ring / 2 % 2 ? 0.62 : 0.88;
  std::array<uint8_t, 3> rgb{};
  for (int c = 0; c < 3; ++c) {
    // HSV to RGB: each channel is full within a sixth of a turn of its own hue and falls linearly over the next one.
    double distance = std::abs(hue - 2 * c);
    distance = std::min(distance, 6 - distance);
    const double level = std::clamp(2 - distance, 0.0, 1.0);
    rgb[c] = static_cast<uint8_t>(std::lround(255 * value * (1 - saturation * (1 - level))));
  }
  return rgb;
}

}  // namespace visage::media
