#include "visage/pseudo/trajectory.h"

#include <algorithm>
#include <cmath>

namespace visage::pseudo {
namespace {

constexpr double kMargin = 0.2;  // of the shorter side
constexpr double kInset = 0.18;  // of the shorter side: at the ends of curves most of the object is in view

Point point_in(double left, double top, double right, double bottom, Random& random) {
  const double x = random.uniform(left, right);
  return {.x = x, .y = random.uniform(top, bottom)};
}

double distance(Point a, Point b) { return std::hypot(a.x - b.x, a.y - b.y); }

}  // namespace

Trajectory::Trajectory(media::Size frame, int64_t frames, int64_t curve_frames, Random& random)
    : curve_frames_(curve_frames) {
  const double width = frame.width, height = frame.height, shorter = std::min(width, height);
  const double inset = kInset * shorter, margin = kMargin * shorter;
  const auto end_point = [&] { return point_in(inset, inset, width - inset, height - inset, random); };
  const auto into_padded = [&](Point p) {
    return Point{.x = std::clamp(p.x, -margin, width + margin), .y = std::clamp(p.y, -margin, height + margin)};
  };
  Point start = end_point();
  Point control = point_in(-margin, -margin, width + margin, height + margin, random);
  for (int64_t begin = 0; begin < frames; begin += curve_frames) {
    const Point end = end_point();
    curves_.push_back({.p0 = start, .p1 = control, .p2 = end});
    // Mirroring the control point keeps the direction of travel across the joint.
    control = into_padded({.x = 2 * end.x - control.x, .y = 2 * end.y - control.y});
    start = end;
  }
}

Point Trajectory::at(int64_t frame) const {
  const Curve& curve = curves_[frame / curve_frames_];
  const double t = static_cast<double>(frame % curve_frames_ + 1) / static_cast<double>(curve_frames_);
  const double a = (1 - t) * (1 - t), b = 2 * t * (1 - t), c = t * t;
  return {.x = a * curve.p0.x + b * curve.p1.x + c * curve.p2.x, .y = a * curve.p0.y + b * curve.p1.y + c * curve.p2.y};
}

double Trajectory::largest_step() const {
  double longest = 0;
  for (const Curve& curve : curves_) {
    longest = std::max({longest, distance(curve.p0, curve.p1), distance(curve.p1, curve.p2)});
  }
  return 2 * longest / static_cast<double>(curve_frames_);
}

}  // namespace visage::pseudo
