#include "visage/pseudo/shape.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <vector>

namespace visage::pseudo {
namespace {

struct Vertex {
  double x, y;
};
using Outline = std::vector<Vertex>;

constexpr double kTurn = 2 * std::numbers::pi;

// Distance to the nearest edge, negative where a ray to the right crosses the outline an odd number of times.
double outline_distance(const Outline& outline, double x, double y) {
  double nearest = std::numeric_limits<double>::max();
  bool inside = false;
  for (size_t i = 0, j = outline.size() - 1; i < outline.size(); j = i++) {
    const Vertex a = outline[j], b = outline[i];
    const double ex = b.x - a.x, ey = b.y - a.y, px = x - a.x, py = y - a.y;
    const double along = std::clamp((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0);
    const double dx = px - along * ex, dy = py - along * ey;
    nearest = std::min(nearest, dx * dx + dy * dy);
    if ((a.y > y) != (b.y > y) && x < a.x + ex * (y - a.y) / ey) inside = !inside;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
}

// Corners at angles evenly spaced from the top, at radii that alternate (equal ones give a regular polygon).
Outline spokes(int corners, double outer, double inner) {
  Outline outline;
  for (int i = 0; i < corners; ++i) {
    const double angle = kTurn * i / corners - kTurn / 4, radius = i % 2 == 0 ? outer : inner;
    outline.push_back({radius * std::cos(angle), radius * std::sin(angle)});
  }
  return outline;
}

Outline cross() {
  constexpr double kArm = 0.27, kReach = 0.84;
  return {{-kArm, -kReach}, {kArm, -kReach}, {kArm, -kArm}, {kReach, -kArm}, {kReach, kArm},   {kArm, kArm},
          {kArm, kReach},   {-kArm, kReach}, {-kArm, kArm}, {-kReach, kArm}, {-kReach, -kArm}, {-kArm, -kArm}};
}

// The parametric heart x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, scaled into the unit circle.
Outline heart() {
  constexpr int kPoints = 48;
  Outline outline;
  for (int i = 0; i < kPoints; ++i) {
    const double t = kTurn * i / kPoints;
    const double y = 13 * std::cos(t) - 5 * std::cos(2 * t) - 2 * std::cos(3 * t) - std::cos(4 * t);
    outline.push_back({16 * std::pow(std::sin(t), 3) / 18, -(y + 2.5) / 18});
  }
  return outline;
}

// Polygons are drawn smaller and grown by `rounding`, which rounds their corners.
struct Rounded {
  Outline outline;
  double rounding;
  double operator()(double x, double y) const { return outline_distance(outline, x, y) - rounding; }
};

}  // namespace

double shape_distance(int64_t shape, double x, double y) {
  static const std::array<std::function<double(double, double)>, kShapeNames.size()> distances = {
      [](double px, double py) { return std::hypot(px, py) - 0.92; },
      Rounded{{{-0.6, -0.6}, {0.6, -0.6}, {0.6, 0.6}, {-0.6, 0.6}}, 0.12},
      Rounded{spokes(3, 0.86, 0.86), 0.1},
      Rounded{spokes(10, 0.92, 0.44), 0.06},
      [](double px, double py) { return std::abs(std::hypot(px, py) - 0.68) - 0.26; },
      Rounded{cross(), 0.07},
      Rounded{spokes(6, 0.86, 0.86), 0.07},
      Rounded{heart(), 0.02}};
  return distances[shape](x, y);
}

}  // namespace visage::pseudo
