#pragma once
#include <cstdint>

namespace visage::ops {

/// The four pixels around a sampling position in a plane: left top, right top, left bottom, right bottom.
struct Corners {
  std::int64_t pixel[4];  // y * width + x; -1 outside of the plane, where the value is 0
  float fx, fy;           // distance from the left and the top ones

  constexpr float weight(int corner) const { return (corner & 1 ? fx : 1 - fx) * (corner >> 1 ? fy : 1 - fy); }
  /// d sample / d x and d sample / d y in pixels, from the values (or dot products) at the corners.
  constexpr float slope_x(const float* at) const { return (1 - fy) * (at[1] - at[0]) + fy * (at[3] - at[2]); }
  constexpr float slope_y(const float* at) const { return (1 - fx) * (at[2] - at[0]) + fx * (at[3] - at[1]); }
};

/// Position (x, y) in pixels, 0 at the centre of the first one. False where every corner is outside, and for positions
/// that are not numbers: they are sorted out before they are converted to integers.
constexpr bool find_corners(float x, float y, std::int64_t height, std::int64_t width, Corners& corners) {
  if (!(x > -1.f && x < static_cast<float>(width) && y > -1.f && y < static_cast<float>(height))) return false;
  // Rounded down: above -1 only what is negative is not so already.
  const std::int64_t left = x < 0 ? -1 : static_cast<std::int64_t>(x), top = y < 0 ? -1 : static_cast<std::int64_t>(y);
  corners.fx = x - static_cast<float>(left);
  corners.fy = y - static_cast<float>(top);
  for (int corner = 0; corner < 4; ++corner) {
    const std::int64_t px = left + (corner & 1);
    const std::int64_t py = top + (corner >> 1);
    const bool inside = px >= 0 && px < width && py >= 0 && py < height;
    corners.pixel[corner] = inside ? py * width + px : -1;
  }
  return true;
}

}  // namespace visage::ops
