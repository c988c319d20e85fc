#pragma once
#include <cstdint>

namespace visage::pseudo {

/// Smooth random field in [0, 1] with features of about one unit; equal seeds give equal fields.
[[nodiscard]] double value_noise(double x, double y, uint64_t seed);
/// Sum of `octaves` fields, each twice as fine and half as strong as the one before, in [0, 1].
[[nodiscard]] double fractal_noise(double x, double y, uint64_t seed, int octaves);

struct Color {
  double r = 0, g = 0, b = 0;  // 0 to 255
};
[[nodiscard]] inline Color blend(const Color& a, const Color& b, double weight_of_b) {
  return {a.r + (b.r - a.r) * weight_of_b, a.g + (b.g - a.g) * weight_of_b, a.b + (b.b - a.b) * weight_of_b};
}
[[nodiscard]] inline Color operator*(const Color& color, double factor) {
  return {color.r * factor, color.g * factor, color.b * factor};
}
/// To a byte, rounded and clamped.
[[nodiscard]] inline uint8_t to_byte(double value) {
  return static_cast<uint8_t>(value <= 0 ? 0 : value >= 255 ? 255 : value + 0.5);
}

}  // namespace visage::pseudo
