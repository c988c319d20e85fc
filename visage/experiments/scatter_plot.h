#pragma once
#include "visage/media/image.h"

#include <string>
#include <vector>

namespace visage::experiments {

/// A point of a panel, in any units; colour as of a track.
struct Mark {
  double x = 0, y = 0;
  int color = 0;
  std::string label;  // shown by a browser under the pointer
};

struct Panel {
  std::string title, caption;  // plain text, ASCII in the picture
  std::vector<Mark> marks;
};

/// Panels side by side, each scaled to its own marks with equal scales of x and y.
[[nodiscard]] media::Image draw_panels(const std::vector<Panel>& panels);
/// The same as an SVG element.
[[nodiscard]] std::string panels_svg(const std::vector<Panel>& panels);

}  // namespace visage::experiments
