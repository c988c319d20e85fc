#include "visage/annotation/polygon.h"

#include "tensor/error.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace visage::annotation {
namespace {

constexpr double kScale = 5;

struct Point {
  int64_t x = 0, y = 0;
};

// Truncation toward zero is part of the rule: it decides where negative coordinates go.
int64_t round_as_coco(double value) { return static_cast<int64_t>(value + 0.5); }

// Turns a walk along the outline, on the fine grid, into pixel indices where the mask changes.
class Crossings {
 public:
  Crossings(int64_t height, int64_t width) : height_(height), width_(width) {}

  void visit(Point point) {
    if (started_ && point.x != last_.x) cross(point);
    last_ = point;
    started_ = true;
  }

  Rle to_rle() && {
    const int64_t pixels = height_ * width_;
    positions_.push_back(pixels);
    std::sort(positions_.begin(), positions_.end());
    // Two crossings at one place cancel; runs of length zero then join their neighbours, which canonical form does.
    std::vector<int64_t> counts;
    counts.reserve(positions_.size());
    int64_t previous = 0;
    for (const int64_t position : positions_) {
      counts.push_back(position - previous);
      previous = position;
    }
    return rle_from_counts(height_, width_, counts);
  }

 private:
  void cross(Point point) {
    const int64_t left = point.x < last_.x ? point.x : point.x - 1;
    const double column = (static_cast<double>(left) + 0.5) / kScale - 0.5;
    if (std::floor(column) != column || column < 0 || column > static_cast<double>(width_ - 1)) return;
    const double row = (static_cast<double>(std::min(point.y, last_.y)) + 0.5) / kScale - 0.5;
    const double clamped = std::ceil(std::clamp(row, 0.0, static_cast<double>(height_)));
    positions_.push_back(static_cast<int64_t>(column) * height_ + static_cast<int64_t>(clamped));
  }

  int64_t height_, width_;
  Point last_;
  bool started_ = false;
  std::vector<int64_t> positions_;
};

// Visits one point per step along the longer axis. The other coordinate is always computed from the end with the
// smaller longer-axis value, so that an edge gives the same points in both directions.
void walk_edge(Point start, Point end, Crossings& crossings) {
  const int64_t dx = std::abs(end.x - start.x), dy = std::abs(end.y - start.y);
  const bool along_x = dx >= dy;
  const bool flipped = along_x ? start.x > end.x : start.y > end.y;
  const Point low = flipped ? end : start, high = flipped ? start : end;
  const int64_t steps = std::max(dx, dy);
  if (steps == 0) return crossings.visit(start);
  const double slope = along_x ? static_cast<double>(high.y - low.y) / static_cast<double>(dx)
                               : static_cast<double>(high.x - low.x) / static_cast<double>(dy);
  for (int64_t step = 0; step <= steps; ++step) {
    const int64_t t = flipped ? steps - step : step;
    const double offset = slope * static_cast<double>(t);
    if (along_x) {
      crossings.visit({.x = low.x + t, .y = round_as_coco(static_cast<double>(low.y) + offset)});
    } else {
      crossings.visit({.x = round_as_coco(static_cast<double>(low.x) + offset), .y = low.y + t});
    }
  }
}

}  // namespace

Rle rle_from_polygon(int64_t height, int64_t width, std::span<const double> ring) {
  Rle nothing = empty_rle(height, width);
  const size_t count = ring.size() / 2;
  std::vector<Point> points(count);
  for (size_t i = 0; i < count; ++i) {
    for (const double c : {ring[2 * i], ring[2 * i + 1]}) {
      check<InputError>(std::abs(c) <= kMaxCoordinate, "polygon: coordinate ", c, " of point ", i, " is beyond +-",
                        kMaxCoordinate);
    }
    points[i] = {.x = round_as_coco(kScale * ring[2 * i]), .y = round_as_coco(kScale * ring[2 * i + 1])};
  }
  if (count == 0) return nothing;
  Crossings crossings(height, width);
  for (size_t i = 0; i < count; ++i) walk_edge(points[i], points[(i + 1) % count], crossings);
  return std::move(crossings).to_rle();
}

Rle rle_from_polygons(int64_t height, int64_t width, std::span<const Polygon> rings) {
  std::vector<Rle> parts{empty_rle(height, width)};
  for (const Polygon& ring : rings) parts.push_back(rle_from_polygon(height, width, ring));
  return merge_union(parts);
}

Rle rle_from_box(int64_t height, int64_t width, const Box& box) {
  const double right = box.x + box.width, bottom = box.y + box.height;
  const double corners[] = {box.x, box.y, box.x, bottom, right, bottom, right, box.y};
  return rle_from_polygon(height, width, corners);
}

}  // namespace visage::annotation
