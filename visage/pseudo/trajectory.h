#pragma once
#include "visage/media/image.h"
#include "visage/pseudo/random.h"

#include <cstdint>
#include <vector>

namespace visage::pseudo {

struct Point {
  double x = 0, y = 0;
};

/// Path of an object's centre: quadratic Bezier curves B(t) = (1-t)^2 p0 + 2t(1-t) p1 + t^2 p2, of which every
/// `curve_frames` frames use one; the next curve starts where the last one ended, in its direction.
class Trajectory {
 public:
  /// Ends of curves lie inside the frame, control points in the frame and a margin around it of 0.2 of its shorter side
  /// (the padded frame of the official generator), so that objects can leave the view for a while.
  Trajectory(media::Size frame, int64_t frames, int64_t curve_frames, Random& random);

  /// Position in pixels at frame k; like the official generator, frame 0 is the first step of the curve, not its start.
  [[nodiscard]] Point at(int64_t frame) const;
  /// Upper bound of the distance between neighbouring frames: |B'| <= 2 max(|p1 - p0|, |p2 - p1|).
  [[nodiscard]] double largest_step() const;

 private:
  struct Curve {
    Point p0, p1, p2;
  };
  int64_t curve_frames_;
  std::vector<Curve> curves_;
};

}  // namespace visage::pseudo
