#include "tensor/error.h"
#include "train/data/augment.h"

#include <gmock/gmock.h>

#include <numbers>

namespace visage::train {
namespace {

using testing::ElementsAre;

media::Image image_of(std::vector<uint8_t> rgb) {
  media::Image image(static_cast<int>(rgb.size() / 3), 1);
  image.rgb = std::move(rgb);
  return image;
}

std::vector<uint8_t> turned(std::vector<uint8_t> rgb, double degrees) {
  const media::Image image = image_of(std::move(rgb));
  const Geometry geometry{
      .window = {0, 0, image.width, image.height}, .out = image.size(), .hue = degrees * std::numbers::pi / 180};
  return apply(geometry, image).rgb;
}

TEST(Hue, AThirdOfATurnMovesTheChannelsOn) {
  EXPECT_THAT(turned({200, 100, 30, 90, 90, 90}, 120), ElementsAre(30, 200, 100, 90, 90, 90));
  EXPECT_THAT(turned({200, 100, 30}, -120), ElementsAre(100, 30, 200));
  EXPECT_THAT(turned({255, 0, 0}, 180), ElementsAre(0, 170, 170)) << "what leaves the cube is clamped";
}

TEST(Hue, IsDrawnForEveryFrameOnItsOwn) {
  AugmentOptions options;
  const auto hues = [&] {
    std::vector<double> list;
    for (const Geometry& frame : draw_geometry(options, {640, 360}, 5, {7})) list.push_back(frame.hue);
    return list;
  };
  EXPECT_THAT(hues(), testing::Each(0));
  options.most_hue = 90;
  const std::vector<double> drawn = hues();
  EXPECT_THAT(drawn,
              testing::Each(testing::AllOf(testing::Ge(-std::numbers::pi / 2), testing::Le(std::numbers::pi / 2))));
  for (size_t i = 1; i < drawn.size(); ++i) EXPECT_NE(drawn[i], drawn[i - 1]);
  options.most_hue = 181;
  EXPECT_THROW(check_options(options), UsageError);
}

}  // namespace
}  // namespace visage::train
