#include "visage/media/overlay.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"
#include "visage/media/text.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

namespace visage::media {
namespace {

using Color = std::array<uint8_t, 3>;

struct Box {
  int x = 0, y = 0, width = 0, height = 0;
};

bool intersect(const Box& a, const Box& b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/// A mask; everything outside the image is outside the mask.
class MaskView {
 public:
  MaskView(const OverlayTrack& track, Size size) : track_(track), size_(size) {
    const int64_t want = int64_t{size.width} * size.height;
    check<UsageError>(static_cast<int64_t>(track.mask.size()) == want, "draw_overlay: the mask of track ", track.id,
                      " has ", track.mask.size(), " bytes; an image of ", size.width, "x", size.height, " needs ",
                      want);
  }

  bool operator()(int64_t x, int64_t y) const {
    if (x < 0 || y < 0 || x >= size_.width || y >= size_.height) return false;
    return track_.mask[y * size_.width + x] != 0;
  }

 private:
  const OverlayTrack& track_;
  Size size_;
};

void blend(uint8_t* pixel, Color color, int opacity_256) {
  for (int c = 0; c < 3; ++c) {
    pixel[c] = static_cast<uint8_t>((pixel[c] * (256 - opacity_256) + color[c] * opacity_256 + 128) >> 8);
  }
}

/// Two pixels of outline on large images, one on small ones, inside the mask.
bool on_outline(const MaskView& mask, int64_t x, int64_t y, int thickness) {
  for (int d = 1; d <= thickness; ++d) {
    if (!mask(x - d, y) || !mask(x + d, y) || !mask(x, y - d) || !mask(x, y + d)) return true;
  }
  return false;
}

void paint_mask(Image& image, const MaskView& mask, Color color, float opacity) {
  const int fill = static_cast<int>(256 * std::clamp(opacity, 0.0f, 1.0f));
  const int thickness = std::min(image.width, image.height) >= 400 ? 2 : 1;
  cpu::parallel_for(image.height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t x = 0; x < image.width; ++x) {
        if (mask(x, y)) blend(image.pixel(x, y), color, on_outline(mask, x, y, thickness) ? 256 : fill);
      }
    }
  });
}

/// Middle of the mask's topmost row.
struct Anchor {
  int x, y;
};

std::optional<Anchor> top_of(const MaskView& mask, Size size) {
  for (int y = 0; y < size.height; ++y) {
    int first = -1, last = -1;
    for (int x = 0; x < size.width; ++x) {
      if (!mask(x, y)) continue;
      if (first < 0) first = x;
      last = x;
    }
    if (first >= 0) return Anchor{(first + last) / 2, y};
  }
  return std::nullopt;
}

std::string caption(const OverlayTrack& track) {
  char score[16];
  std::snprintf(score, sizeof score, "%.2f", static_cast<double>(track.score));
  return std::to_string(track.id) + ' ' + track.label + (track.label.empty() ? "" : " ") + score;
}

/// Above the anchor where there is room; then down past the labels that are there, as long as the image lasts.
Box place_label(Box box, Anchor anchor, Size image, const std::vector<Box>& taken) {
  box.x = std::clamp(anchor.x - box.width / 2, 0, std::max(image.width - box.width, 0));
  box.y = std::clamp(anchor.y - box.height, 0, std::max(image.height - box.height, 0));
  const int preferred = box.y;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Box& other : taken) {
      if (!intersect(box, other)) continue;
      box.y = other.y + other.height;
      moved = true;
    }
  }
  if (box.y + box.height > image.height) box.y = preferred;
  return box;
}

void fill_box(Image& image, const Box& box, Color color) {
  for (int y = box.y; y < std::min(box.y + box.height, image.height); ++y) {
    for (int x = box.x; x < std::min(box.x + box.width, image.width); ++x) blend(image.pixel(x, y), color, 216);
  }
}

/// Black or white, whichever is further from the colour's brightness (Rec. 601 luma).
Color readable_on(Color color) {
  const int luma = (299 * color[0] + 587 * color[1] + 114 * color[2]) / 1000;
  return luma > 128 ? Color{0, 0, 0} : Color{255, 255, 255};
}

}  // namespace

void draw_overlay(Image& image, std::span<const OverlayTrack> tracks, const OverlayOptions& options) {
  std::vector<MaskView> masks;
  for (const OverlayTrack& track : tracks) masks.emplace_back(track, image.size());
  for (size_t i = 0; i < tracks.size(); ++i) paint_mask(image, masks[i], track_color(tracks[i].id), options.opacity);
  const int scale = std::clamp((image.height + 150) / 300, 1, 4);
  std::vector<Box> taken;
  for (size_t i = 0; i < tracks.size(); ++i) {
    const auto anchor = top_of(masks[i], image.size());
    if (!anchor) continue;
    const std::string text = caption(tracks[i]);
    const Size text_size = measure_text(text, scale);
    const Box box =
        place_label({0, 0, text_size.width + 4 * scale, text_size.height + 4 * scale}, *anchor, image.size(), taken);
    taken.push_back(box);
    const Color color = track_color(tracks[i].id);
    fill_box(image, box, color);
    draw_text(image, text, box.x + 2 * scale, box.y + 2 * scale, readable_on(color), scale);
  }
}

}  // namespace visage::media
