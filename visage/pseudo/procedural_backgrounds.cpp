#include "visage/pseudo/noise.h"
#include "visage/pseudo/procedural.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace visage::pseudo {
namespace {

constexpr int64_t kKinds = 5;

// All take (x, y) in units of the shorter side of the frame.
Color meadow(double x, double y, uint64_t seed) {
  const double patches = fractal_noise(3 * x, 3 * y, seed, 4), blades = fractal_noise(90 * x, 34 * y, seed + 9, 2);
  return blend({92, 118, 74}, {150, 160, 104}, patches) * (0.8 + 0.36 * blades);
}

Color planks(double x, double y, uint64_t seed) {
  constexpr double kBoard = 0.17;
  const double board = std::floor(y / kBoard), within = y / kBoard - board;
  const double tone = value_noise(7.5 * board + 0.5, std::floor(0.8 * x + 3.3 * board) + 0.5, seed);
  const double grain = fractal_noise(2.4 * x + 17 * board, 46 * y, seed + 3, 4);
  const double gap = within < 0.035 ? 0.62 : 1;
  return blend({132, 104, 78}, {176, 146, 112}, 0.55 * tone + 0.45 * grain) * (gap * (0.88 + 0.2 * grain));
}

Color tiles(double x, double y, uint64_t seed) {
  constexpr double kTile = 0.21, kGrout = 0.03;
  const double i = std::floor(x / kTile), j = std::floor(y / kTile);
  const double u = x / kTile - i, v = y / kTile - j;
  if (std::min({u, v, 1 - u, 1 - v}) < kGrout)
    return Color{126, 124, 120} * (0.9 + 0.2 * value_noise(60 * x, 60 * y, seed));
  const double tone = value_noise(3.7 * i + 0.5, 3.7 * j + 0.5, seed + 1);
  const double speckle = fractal_noise(22 * x, 22 * y, seed + 2, 3);
  return blend({158, 152, 142}, {194, 190, 180}, 0.7 * tone + 0.3 * speckle) * (0.9 + 0.16 * speckle);
}

Color sand(double x, double y, uint64_t seed) {
  const double bend = fractal_noise(2.2 * x, 2.2 * y, seed, 3);
  const double ripple = 0.5 + 0.5 * std::sin(2 * std::numbers::pi * (9 * y + 1.2 * x + 2.4 * bend));
  const double grains = value_noise(150 * x, 150 * y, seed + 5);
  return blend({172, 150, 116}, {208, 190, 154}, 0.65 * ripple + 0.35 * bend) * (0.92 + 0.14 * grains);
}

Color dusk(double x, double y, uint64_t seed) {
  const double cloud = fractal_noise(1.8 * x, 4.2 * y, seed, 5);
  const Color sky = blend({92, 108, 146}, {196, 164, 150}, std::clamp(y, 0.0, 1.0));
  return blend(sky, {214, 208, 210}, 0.75 * std::clamp(2.6 * (cloud - 0.42), 0.0, 1.0));
}

}  // namespace

Background ProceduralBackgrounds::draw(media::Size frame, Random& random) const {
  const int64_t kind = random.integer(0, kKinds - 1);
  const uint64_t seed = random.bits();
  const double shift_x = random.uniform(0, 50), shift_y = kind == 4 ? 0 : random.uniform(0, 50);
  const double unit = std::min(frame.width, frame.height);
  media::Image image(frame);
  for (int64_t py = 0; py < frame.height; ++py) {
    for (int64_t px = 0; px < frame.width; ++px) {
      const double x = static_cast<double>(px) / unit, y = static_cast<double>(py) / unit;
      constexpr Color (*kDraw[kKinds])(double, double, uint64_t) = {meadow, planks, tiles, sand, dusk};
      const double from_middle =
          std::hypot(static_cast<double>(px) / frame.width - 0.5, static_cast<double>(py) / frame.height - 0.5);
      const Color color = kDraw[kind](x + shift_x, y + shift_y, seed) * (1 - 0.3 * from_middle * from_middle);
      uint8_t* pixel = image.pixel(px, py);
      pixel[0] = to_byte(color.r);
      pixel[1] = to_byte(color.g);
      pixel[2] = to_byte(color.b);
    }
  }
  constexpr const char* kNames[kKinds] = {"meadow", "planks", "tiles", "sand", "dusk"};
  return {.image = std::move(image), .name = kNames[kind]};
}

}  // namespace visage::pseudo
