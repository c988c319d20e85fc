#pragma once
#include "visage/media/image.h"
#include "visage/media/track_color.h"

#include <cstdint>
#include <span>
#include <string>

namespace visage::media {

/// One track in one frame.
struct OverlayTrack {
  int id = 0;
  std::string label;  // class name; other than ASCII is shown as '?'
  float score = 0;    // in [0, 1]
  // A byte a pixel of the image, row-major, non-zero = inside; a track without any pixel is not drawn.
  std::span<const uint8_t> mask;
};

/// How much of a mask's colour covers the picture, in [0, 1].
struct OverlayOptions {
  float opacity = 0.45f;
};

/// Draws tracks into an image: the mask blended with track_color(id), its outline, and a label "id class 0.93" at its
/// top, moved inside the image and below other labels it would cover. Text grows with the image.
/// Throws UsageError when a mask is not of the image's size.
void draw_overlay(Image& image, std::span<const OverlayTrack> tracks, const OverlayOptions& options = {});

}  // namespace visage::media
