#include "visage/experiments/scatter_plot.h"

#include "visage/media/markup.h"
#include "visage/media/text.h"
#include "visage/media/track_color.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace visage::experiments {
namespace {

// Pixels.
constexpr int kSide = 380, kGap = 20, kHead = 52, kMargin = 14, kRadius = 4;
constexpr std::array<uint8_t, 3> kInk = {28, 35, 48}, kSoft = {93, 103, 120}, kFrame = {205, 211, 222};

int left_of(std::size_t panel) { return kGap + static_cast<int>(panel) * (kSide + kGap); }
int width_of(std::size_t panels) { return left_of(panels); }
constexpr int kHeight = kHead + kSide + kGap;

// Where the marks of a panel lie, relative to its square.
class Placement {
 public:
  explicit Placement(const std::vector<Mark>& marks) {
    double x0 = std::numeric_limits<double>::infinity(), x1 = -x0, y0 = x0, y1 = -x0;
    for (const Mark& mark : marks) {
      x0 = std::min(x0, mark.x), x1 = std::max(x1, mark.x);
      y0 = std::min(y0, mark.y), y1 = std::max(y1, mark.y);
    }
    const double extent = std::max(x1 - x0, y1 - y0);
    scale_ = extent > 0 ? (kSide - 2 * kMargin) / extent : 1;
    x_ = (x0 + x1) / 2, y_ = (y0 + y1) / 2;
  }
  double x(const Mark& mark) const { return kSide / 2.0 + (mark.x - x_) * scale_; }
  double y(const Mark& mark) const { return kSide / 2.0 - (mark.y - y_) * scale_; }

 private:
  double scale_ = 1, x_ = 0, y_ = 0;
};

void draw_disc(media::Image& image, double x, double y, std::array<uint8_t, 3> color) {
  for (int row = static_cast<int>(y) - kRadius - 1; row <= static_cast<int>(y) + kRadius + 1; ++row) {
    for (int column = static_cast<int>(x) - kRadius - 1; column <= static_cast<int>(x) + kRadius + 1; ++column) {
      if (row < 0 || column < 0 || row >= image.height || column >= image.width) continue;
      const double distance = std::hypot(column + 0.5 - x, row + 0.5 - y);
      const double cover = 0.85 * std::clamp(kRadius + 0.5 - distance, 0.0, 1.0);
      uint8_t* pixel = image.pixel(column, row);
      for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(pixel[c] + (color[c] - pixel[c]) * cover + 0.5);
    }
  }
}

void draw_frame(media::Image& image, int x, int y) {
  for (int i = 0; i <= kSide; ++i) {
    for (const auto& [column, row] : {std::pair{x + i, y}, {x + i, y + kSide}, {x, y + i}, {x + kSide, y + i}})
      std::copy(kFrame.begin(), kFrame.end(), image.pixel(column, row));
  }
}

std::string hex(std::array<uint8_t, 3> color) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", color[0], color[1], color[2]);
  return text;
}

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

}  // namespace

media::Image draw_panels(const std::vector<Panel>& panels) {
  media::Image image(width_of(panels.size()), kHeight);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{255});
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const int x = left_of(i);
    media::draw_text(image, panels[i].title, x, 8, kInk, 2);
    media::draw_text(image, panels[i].caption, x, 32, kSoft, 1);
    draw_frame(image, x, kHead);
    const Placement place(panels[i].marks);
    for (const Mark& mark : panels[i].marks)
      draw_disc(image, x + place.x(mark), kHead + place.y(mark), media::track_color(mark.color));
  }
  return image;
}

std::string panels_svg(const std::vector<Panel>& panels) {
  const std::string width = std::to_string(width_of(panels.size())), height = std::to_string(kHeight);
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + width + " " + height +
                    "\" font-family=\"system-ui, sans-serif\">\n<rect width=\"" + width + "\" height=\"" + height +
                    "\" fill=\"#fff\"/>\n";
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const int x = left_of(i);
    const std::string at = std::to_string(x), side = std::to_string(kSide);
    svg += "<text x=\"" + at + "\" y=\"22\" font-size=\"17\" font-weight=\"600\" fill=\"" + hex(kInk) + "\">" +
           media::escaped_markup(panels[i].title) + "</text>\n<text x=\"" + at +
           "\" y=\"42\" font-size=\"13\" fill=\"" + hex(kSoft) + "\">" + media::escaped_markup(panels[i].caption) +
           "</text>\n<rect x=\"" + at + "\" y=\"" + std::to_string(kHead) + "\" width=\"" + side + "\" height=\"" +
           side + "\" fill=\"none\" stroke=\"" + hex(kFrame) + "\"/>\n<g fill-opacity=\".85\">\n";
    const Placement place(panels[i].marks);
    for (const Mark& mark : panels[i].marks)
      svg += "<circle cx=\"" + fixed(x + place.x(mark)) + "\" cy=\"" + fixed(kHead + place.y(mark)) + "\" r=\"" +
             std::to_string(kRadius) + "\" fill=\"" + hex(media::track_color(mark.color)) + "\"><title>" +
             media::escaped_markup(mark.label) + "</title></circle>\n";
    svg += "</g>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace visage::experiments
