#include "visage/pseudo/noise.h"

#include <cmath>

namespace visage::pseudo {
namespace {

double lattice_value(int64_t x, int64_t y, uint64_t seed) {
  uint64_t h = seed ^ (static_cast<uint64_t>(x) * 0x9E3779B97F4A7C15) ^ (static_cast<uint64_t>(y) * 0xC2B2AE3D27D4EB4F);
  h = (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9;
  h = (h ^ (h >> 32)) * 0x94D049BB133111EB;
  return static_cast<double>((h ^ (h >> 31)) >> 11) * 0x1p-53;
}

double smooth(double t) { return t * t * (3 - 2 * t); }

}  // namespace

double value_noise(double x, double y, uint64_t seed) {
  const double left = std::floor(x), top = std::floor(y);
  const double u = smooth(x - left), v = smooth(y - top);
  const auto i = static_cast<int64_t>(left), j = static_cast<int64_t>(top);
  const double above = std::lerp(lattice_value(i, j, seed), lattice_value(i + 1, j, seed), u);
  const double below = std::lerp(lattice_value(i, j + 1, seed), lattice_value(i + 1, j + 1, seed), u);
  return std::lerp(above, below, v);
}

double fractal_noise(double x, double y, uint64_t seed, int octaves) {
  double sum = 0, weight = 1, total = 0;
  for (int octave = 0; octave < octaves; ++octave) {
    sum += weight * value_noise(x, y, seed + static_cast<uint64_t>(octave));
    total += weight;
    weight /= 2;
    x *= 2;
    y *= 2;
  }
  return sum / total;
}

}  // namespace visage::pseudo
