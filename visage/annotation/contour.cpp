#include "visage/annotation/contour.h"

#include "tensor/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

namespace visage::annotation {
namespace {

// A corner of pixels: (0, 0) is the upper left one of the first pixel.
struct Point {
  int64_t x = 0, y = 0;
  bool operator==(const Point&) const = default;
};
using Loop = std::vector<Point>;

// In the order of right turns: right, down, left, up.
constexpr std::array<Point, 4> kSteps = {Point{1, 0}, Point{0, 1}, Point{-1, 0}, Point{0, -1}};

// Walks the pixel edges with the foreground on the right hand.
class Tracer {
 public:
  explicit Tracer(const Rle& mask) {
    const Box box = bounding_box(mask);
    left_ = static_cast<int64_t>(box.x), top_ = static_cast<int64_t>(box.y);
    width_ = static_cast<int64_t>(box.width), height_ = static_cast<int64_t>(box.height);
    const std::vector<uint8_t> pixels = decode_rows(mask);
    for (int64_t y = 0; y < height_; ++y)
      for (int64_t x = 0; x < width_; ++x)
        part_.push_back(pixels[(top_ + y) * mask.width + left_ + x] ? kUnknown : kBackground);
    traced_.resize(part_.size());
  }

  // The loops of every part, the outer one first. The first pixel of a part in reading order lies at its outer loop.
  std::vector<std::vector<Loop>> parts() {
    std::vector<std::vector<Loop>> parts;
    for (int64_t y = 0; y < height_; ++y) {
      for (int64_t x = 0; x < width_; ++x) {
        if (!inside(x, y) || inside(x, y - 1) || traced_[at(x, y)]) continue;
        if (part_[at(x, y)] == kUnknown) {
          fill({x, y}, static_cast<int32_t>(parts.size()));
          parts.emplace_back();
        }
        parts[part_[at(x, y)]].push_back(trace({x, y}));
      }
    }
    return parts;
  }

 private:
  static constexpr int32_t kBackground = -1, kUnknown = -2;

  size_t at(int64_t x, int64_t y) const { return static_cast<size_t>(y * width_ + x); }
  bool inside(int64_t x, int64_t y) const {
    return x >= 0 && y >= 0 && x < width_ && y < height_ && part_[at(x, y)] != kBackground;
  }

  void fill(Point start, int32_t part) {
    std::vector<Point> open{start};
    while (!open.empty()) {
      const Point p = open.back();
      open.pop_back();
      if (!inside(p.x, p.y) || part_[at(p.x, p.y)] != kUnknown) continue;
      part_[at(p.x, p.y)] = part;
      for (const Point step : kSteps) open.push_back({p.x + step.x, p.y + step.y});
    }
  }

  // Whether the edge that leaves `p` in a direction has foreground on its right and background on its left.
  bool is_edge(Point p, size_t direction) const {
    const bool before_above = inside(p.x - 1, p.y - 1), above = inside(p.x, p.y - 1);
    const bool before = inside(p.x - 1, p.y), here = inside(p.x, p.y);
    switch (direction) {
      case 0: return here && !above;
      case 1: return before && !here;
      case 2: return before_above && !before;
      default: return above && !before_above;
    }
  }

  // Corners of the loop along the upper edge of pixel `start`. Where two pixels touch at a corner, the right turn stays
  // with the part.
  Loop trace(Point start) {
    Loop corners;
    Point p = start;
    size_t direction = 0;
    do {
      if (direction == 0) traced_[at(p.x, p.y)] = 1;
      p = {p.x + kSteps[direction].x, p.y + kSteps[direction].y};
      size_t next = (direction + 1) % 4;
      if (!is_edge(p, next)) next = is_edge(p, direction) ? direction : (direction + 3) % 4;
      if (next != direction) corners.push_back({left_ + p.x, top_ + p.y});
      direction = next;
    } while (p != start || direction != 0);
    return corners;
  }

  int64_t left_ = 0, top_ = 0, width_ = 0, height_ = 0;
  std::vector<int32_t> part_;    // of every pixel in the mask's box
  std::vector<uint8_t> traced_;  // whether the pixel's upper edge was walked
};

double squared_distance(Point a, Point b) {
  const auto dx = static_cast<double>(a.x - b.x), dy = static_cast<double>(a.y - b.y);
  return dx * dx + dy * dy;
}

// From a point to the segment between two others.
double distance(Point p, Point from, Point to) {
  const double length = squared_distance(from, to);
  if (length == 0) return std::sqrt(squared_distance(p, from));
  const auto dx = static_cast<double>(to.x - from.x), dy = static_cast<double>(to.y - from.y);
  const auto px = static_cast<double>(p.x - from.x), py = static_cast<double>(p.y - from.y);
  const double along = std::clamp((px * dx + py * dy) / length, 0.0, 1.0);
  return std::hypot(px - along * dx, py - along * dy);
}

Loop simplified(const Loop& loop, double tolerance) {
  if (tolerance == 0) return loop;
  const auto far = std::max_element(loop.begin(), loop.end(), [&](Point a, Point b) {
    return squared_distance(a, loop[0]) < squared_distance(b, loop[0]);
  });
  const auto split = static_cast<size_t>(far - loop.begin());
  std::vector<uint8_t> kept(loop.size(), 0);
  kept[0] = kept[split] = 1;
  std::vector<std::pair<size_t, size_t>> open{{0, split}, {split, loop.size()}};
  while (!open.empty()) {
    const auto [first, last] = open.back();
    open.pop_back();
    double most = tolerance;
    size_t worst = last;
    for (size_t i = first + 1; i < last; ++i) {
      const double off = distance(loop[i], loop[first], loop[last % loop.size()]);
      if (off > most) most = off, worst = i;
    }
    if (worst == last) continue;
    kept[worst] = 1;
    open.push_back({first, worst});
    open.push_back({worst, last});
  }
  Loop corners;
  for (size_t i = 0; i < loop.size(); ++i)
    if (kept[i]) corners.push_back(loop[i]);
  return corners;
}

// Visits `loop` from the nearest corner of `ring` and returns there; a seam walked twice encloses nothing.
void join(Loop& ring, const Loop& loop) {
  const auto near = std::min_element(ring.begin(), ring.end(), [&](Point a, Point b) {
    return squared_distance(a, loop[0]) < squared_distance(b, loop[0]);
  });
  Loop visit = loop;
  visit.push_back(loop[0]);
  visit.push_back(*near);
  ring.insert(std::next(near), visit.begin(), visit.end());
}

std::vector<Loop> rings_of(const Rle& mask, double tolerance) {
  check<UsageError>(tolerance >= 0, "polygons: the tolerance must be 0 or more pixels; got ", tolerance);
  std::vector<Loop> rings;
  for (const std::vector<Loop>& loops : Tracer(mask).parts()) {
    Loop ring = simplified(loops[0], tolerance);
    if (ring.size() < 3) ring = loops[0];
    for (size_t i = 1; i < loops.size(); ++i) {
      const Loop hole = simplified(loops[i], tolerance);
      if (hole.size() >= 3) join(ring, hole);
    }
    rings.push_back(std::move(ring));
  }
  return rings;
}

Polygon to_polygon(const Loop& ring) {
  Polygon polygon;
  polygon.reserve(2 * ring.size());
  for (const Point p : ring) {
    polygon.push_back(static_cast<double>(p.x));
    polygon.push_back(static_cast<double>(p.y));
  }
  return polygon;
}

}  // namespace

std::vector<Polygon> polygons_of(const Rle& mask, double tolerance) {
  std::vector<Polygon> polygons;
  for (const Loop& ring : rings_of(mask, tolerance)) polygons.push_back(to_polygon(ring));
  return polygons;
}

Polygon polygon_of(const Rle& mask, double tolerance) {
  const std::vector<Loop> rings = rings_of(mask, tolerance);
  if (rings.empty()) return {};
  Loop ring = rings[0];
  for (size_t i = 1; i < rings.size(); ++i) join(ring, rings[i]);
  return to_polygon(ring);
}

}  // namespace visage::annotation
