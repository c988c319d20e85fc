#include "visage/experiments/scatter_plot.h"

#include "visage/media/track_color.h"

#include <gmock/gmock.h>

namespace visage::experiments {
namespace {

TEST(ScatterPlot, ScalesEveryPanelToItsMarks) {
  const std::vector<Panel> panels = {{"a", "", {{-1e-3, 0, 0, "x"}, {1e-3, 0, 1, "y"}}},
                                     {"b < c", "", {{5, -7, 2, "\"z\" & w"}}}};
  const media::Image image = draw_panels(panels);
  const auto has_near = [&](int color, int x0, int x1) {
    const auto want = media::track_color(color);
    for (int y = 60; y < image.height; ++y)
      for (int x = x0; x < x1; ++x) {
        int difference = 0;
        for (int c = 0; c < 3; ++c) difference += std::abs(image.pixel(x, y)[c] - (want[c] * 85 + 255 * 15) / 100);
        if (difference < 6) return true;
      }
    return false;
  };
  EXPECT_TRUE(has_near(0, 20, 60)) << "the left mark is at the left edge of the first panel";
  EXPECT_TRUE(has_near(1, 360, 400));
  EXPECT_TRUE(has_near(2, 590, 630)) << "a single mark is in the middle of its panel";

  const std::string svg = panels_svg(panels);
  EXPECT_THAT(svg, testing::HasSubstr("b &lt; c"));
  EXPECT_THAT(svg, testing::HasSubstr("<title>&quot;z&quot; &amp; w</title>"));
  EXPECT_THAT(svg, testing::HasSubstr("cx=\"34.0\" cy=\"242.0\""));
}

}  // namespace
}  // namespace visage::experiments
