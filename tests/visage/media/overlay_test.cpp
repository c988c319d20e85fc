#include "visage/media/overlay.h"

#include "tensor/error.h"
#include "visage/media/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace visage::media {
namespace {

using Color = std::array<uint8_t, 3>;

Color color_at(const Image& image, int x, int y) {
  const uint8_t* pixel = image.pixel(x, y);
  return {pixel[0], pixel[1], pixel[2]};
}

std::vector<uint8_t> rectangle(Size size, int left, int top, int right, int bottom) {
  std::vector<uint8_t> mask(static_cast<size_t>(size.width) * size.height);
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) mask[y * size.width + x] = 1;
  }
  return mask;
}

TEST(TrackColor, IsStableAndTellsNeighboursApart) {
  EXPECT_EQ(track_color(1), track_color(1));
  for (int a = 0; a < 24; ++a) {
    for (int b = 0; b < a; ++b) {
      double squared = 0;
      for (int c = 0; c < 3; ++c) squared += std::pow(track_color(a)[c] - track_color(b)[c], 2);
      EXPECT_GT(std::sqrt(squared), 25) << a << " and " << b;
    }
  }
  EXPECT_EQ(track_color(0), (Color{255, 31, 31}));  // hue 0, saturation 0.88, full value
}

TEST(Overlay, BlendsInsideOutlinesTheEdgeAndLeavesTheRest) {
  const Size size{120, 90};
  Image image(size);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{100});
  const auto mask = rectangle(size, 20, 40, 100, 80);
  const OverlayTrack track{.id = 3, .label = "cat", .score = 0.93f, .mask = mask};
  draw_overlay(image, {&track, 1}, {.opacity = 0.5f});
  const Color color = track_color(3);
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(color_at(image, 60, 60)[c], (100 + color[c]) / 2.0, 1);
  EXPECT_EQ(color_at(image, 20, 60), color);
  EXPECT_EQ(color_at(image, 99, 60), color);
  EXPECT_EQ(color_at(image, 60, 79), color);
  EXPECT_EQ(color_at(image, 19, 60), (Color{100, 100, 100}));
  EXPECT_EQ(color_at(image, 60, 80), (Color{100, 100, 100}));
}

TEST(Overlay, PutsTheLabelAboveTheMask) {
  const Size size{200, 100};
  Image image(size);
  const auto mask = rectangle(size, 80, 50, 120, 90);
  const OverlayTrack track{.id = 2, .label = "dog", .score = 0.5f, .mask = mask};
  draw_overlay(image, {&track, 1});
  const Size text = measure_text("2 dog 0.50", 1);
  const Size box{text.width + 4, text.height + 4};
  const int left = 99 - box.width / 2, top = 50 - box.height;  // centred on the middle of the top row
  EXPECT_NE(color_at(image, left, top), (Color{0, 0, 0}));
  EXPECT_EQ(color_at(image, left - 1, top), (Color{0, 0, 0}));
  EXPECT_EQ(color_at(image, left, top - 1), (Color{0, 0, 0}));
  // Rendering of the same text at the same place, as dots darker than the box.
  Image expected(box.width, box.height);
  draw_text(expected, "2 dog 0.50", 2, 2, {255, 255, 255}, 1);
  for (int y = 0; y < box.height; ++y) {
    for (int x = 0; x < box.width; ++x) {
      const bool dot = expected.pixel(x, y)[0] == 255;
      const Color got = color_at(image, left + x, top + y);
      EXPECT_EQ(got == color_at(image, left, top), !dot) << x << ' ' << y;
    }
  }
}

TEST(Overlay, KeepsLabelsApartAndInside) {
  const Size size{150, 80};
  Image image(size);
  const auto mask = rectangle(size, 0, 0, 150, 10);
  std::vector<OverlayTrack> tracks;
  for (int id = 0; id < 4; ++id) tracks.push_back({.id = id, .label = "a", .score = 1, .mask = mask});
  draw_overlay(image, tracks, {.opacity = 0});
  std::set<Color> boxes;  // the upper left corner of each label, which holds no dot
  const int left = 74 - (measure_text("0 a 1.00", 1).width + 4) / 2;
  for (int i = 0; i < 4; ++i) boxes.insert(color_at(image, left, 11 * i + (i == 0)));
  EXPECT_EQ(boxes.size(), 4u);
}

TEST(Overlay, TakesTinyImagesAndEmptyMasks) {
  Image dot(1, 1);
  const std::vector<uint8_t> on = {1}, off = {0};
  const OverlayTrack tracks[] = {{.id = 5, .label = "person", .score = 1, .mask = on},
                                 {.id = 6, .label = "person", .score = 1, .mask = off}};
  EXPECT_NO_THROW(draw_overlay(dot, tracks));
  Image untouched(40, 30);
  const std::vector<uint8_t> empty(40 * 30);
  const OverlayTrack absent{.id = 1, .label = "x", .score = 1, .mask = empty};
  draw_overlay(untouched, {&absent, 1});
  EXPECT_EQ(untouched.rgb, Image(40, 30).rgb);
}

TEST(Overlay, RefusesAMaskOfAnotherSize) {
  Image image(8, 8);
  const std::vector<uint8_t> mask(63);
  const OverlayTrack track{.id = 1, .label = "x", .score = 1, .mask = mask};
  EXPECT_THROW(draw_overlay(image, {&track, 1}), UsageError);
}

TEST(Text, DrawsDotsScaledAndCut) {
  EXPECT_EQ(measure_text("ab", 2), (Size{22, 14}));
  EXPECT_EQ(measure_text("", 1), (Size{0, 7}));
  EXPECT_EQ(measure_text("\xc3\xa9", 1).width, measure_text("?", 1).width);  // one character of two bytes
  Image image(5, 7);
  draw_text(image, "L", 0, 0, {9, 9, 9}, 1);
  for (int y = 0; y < 7; ++y) {
    for (int x = 0; x < 5; ++x) EXPECT_EQ(image.pixel(x, y)[0] == 9, x == 0 || y == 6) << x << ' ' << y;
  }
  Image large(10, 14);
  draw_text(large, "L", 0, 0, {9, 9, 9}, 2);
  for (int y = 0; y < 14; ++y) {
    for (int x = 0; x < 10; ++x) EXPECT_EQ(large.pixel(x, y)[0], image.pixel(x / 2, y / 2)[0]);
  }
  EXPECT_NO_THROW(draw_text(image, "WWW", -4, -3, {1, 1, 1}, 2));
}

}  // namespace
}  // namespace visage::media
