#include "visage/annotation/contour.h"

#include "tensor/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace visage::annotation {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Rle mask_of(int64_t height, int64_t width, const std::string& picture) {
  std::vector<uint8_t> pixels;
  for (const char c : picture) pixels.push_back(c == '#');
  return encode_rows(pixels.data(), height, width);
}

TEST(Contour, RunsAlongPixelEdges) {
  EXPECT_THAT(polygons_of(mask_of(3, 4, "....##..#...")), ElementsAre(Polygon{2, 1, 2, 2, 1, 2, 1, 3, 0, 3, 0, 1}));
  EXPECT_THAT(polygons_of(empty_rle(3, 4)), IsEmpty());
  EXPECT_THAT(polygon_of(empty_rle(3, 4)), IsEmpty());
}

TEST(Contour, SeparatesPartsThatTouchAtACorner) { EXPECT_THAT(polygons_of(mask_of(2, 2, "#..#")), SizeIs(2)); }

TEST(Contour, JoinsAHoleToItsRing) {
  const Rle mask = mask_of(4, 4, "#####..##..#####");
  const std::vector<Polygon> rings = polygons_of(mask);
  ASSERT_THAT(rings, SizeIs(1));
  EXPECT_THAT(rings[0], SizeIs(2 * (4 + 4 + 2)));  // both loops, and the way back
  EXPECT_EQ(rle_from_polygons(4, 4, rings), mask);
}

TEST(Contour, GivesBackEveryMaskExactly) {
  std::mt19937 random(7);
  for (int i = 0; i < 400; ++i) {
    const auto height = static_cast<int64_t>(1 + random() % 13), width = static_cast<int64_t>(1 + random() % 13);
    const auto density = 1 + random() % 9;
    std::vector<uint8_t> pixels(static_cast<size_t>(height * width));
    for (uint8_t& pixel : pixels) pixel = random() % 10 < density;
    const Rle mask = encode_rows(pixels.data(), height, width);
    ASSERT_EQ(rle_from_polygons(height, width, polygons_of(mask)), mask) << i;
    ASSERT_EQ(rle_from_polygon(height, width, polygon_of(mask)), mask) << i;
  }
}

TEST(Contour, ToleranceLeavesCornersOut) {
  constexpr int64_t kSize = 100;
  std::vector<uint8_t> pixels(kSize * kSize);
  for (int64_t y = 0; y < kSize; ++y)
    for (int64_t x = 0; x < kSize; ++x) pixels[y * kSize + x] = (x - 50) * (x - 50) + (y - 50) * (y - 50) < 40 * 40;
  pixels[50 * kSize + 50] = 0;  // a hole smaller than the tolerance
  const Rle mask = encode_rows(pixels.data(), kSize, kSize);
  const std::vector<Polygon> rings = polygons_of(mask, 1.5);
  ASSERT_THAT(rings, SizeIs(1));
  EXPECT_LT(rings[0].size(), polygons_of(mask)[0].size() / 5);
  EXPECT_GT(iou(rle_from_polygons(kSize, kSize, rings), mask), 0.96);
  EXPECT_LT(iou(rle_from_polygons(kSize, kSize, rings), mask), 1);
  const Rle pixel = mask_of(2, 2, "#...");
  EXPECT_EQ(rle_from_polygons(2, 2, polygons_of(pixel, 5)), pixel) << "no part vanishes";
  EXPECT_THROW((void)polygons_of(mask, -1), UsageError);
}

}  // namespace
}  // namespace visage::annotation
