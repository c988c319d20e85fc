#include "visage/media/resize.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "visage/media/image_file.h"

#include <gtest/gtest.h>

#include <string>

namespace visage::media {
namespace {

// The picture the recorded results were made from with Pillow 13.0.0, as uint8 RGB:
//   Image.fromarray(p).resize((w, h), Image.BILINEAR).save("resize_<in>_<out>.ppm")
Image formula_image(Size size) {
  Image image(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.pixel(x, y)[c] = static_cast<uint8_t>(x * x * 3 + y * 7 * (c + 1) + x * y * 11 + c * 97);
      }
    }
  }
  return image;
}

std::string text(Size size) { return std::to_string(size.width) + 'x' + std::to_string(size.height); }

struct ResizeCase {
  Size in, out;
};

class ResizeEqualsPillow : public testing::TestWithParam<ResizeCase> {};

TEST_P(ResizeEqualsPillow, BitByBit) {
  const auto& [in, out] = GetParam();
  const Image want = read_image(test::data_path("media/resize_" + text(in) + '_' + text(out) + ".ppm"));
  const Image got = resize(formula_image(in), out);
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(got.rgb, want.rgb);
}

INSTANTIATE_TEST_SUITE_P(Media, ResizeEqualsPillow,
                         testing::Values(ResizeCase{{37, 23}, {16, 10}}, ResizeCase{{37, 23}, {50, 31}},
                                         ResizeCase{{64, 48}, {7, 48}}, ResizeCase{{20, 9}, {20, 30}},
                                         ResizeCase{{200, 5}, {13, 1}}, ResizeCase{{1, 1}, {4, 3}},
                                         ResizeCase{{90, 67}, {32, 24}}));

TEST(Resize, HalvesByTheTriangleFilter) {
  Image image(4, 1);
  for (int x = 0; x < 4; ++x) image.pixel(x, 0)[0] = static_cast<uint8_t>(80 * x);
  // r = 2: weights 3/7, 3/7, 1/7 at the left border: (0 * 3 + 80 * 3 + 160) / 7 = 57.14; mirrored on the right.
  const Image half = resize(image, {2, 1});
  EXPECT_EQ(half.pixel(0, 0)[0], 57);
  EXPECT_EQ(half.pixel(1, 0)[0], 183);
  EXPECT_EQ(half.pixel(0, 0)[1], 0);
}

TEST(Resize, KeepsEqualSizes) {
  const Image image = formula_image({5, 4});
  EXPECT_EQ(resize(image, {5, 4}).rgb, image.rgb);
}

TEST(Resize, RefusesEmptySizes) {
  EXPECT_THROW((void)resize(Image(2, 2), {0, 4}), UsageError);
  EXPECT_THROW((void)resize(Image(), {4, 4}), InputError);
}

TEST(ResizedSize, FollowsShortestEdge) {
  EXPECT_EQ(resized_size({1280, 720}, 360, 1333), (Size{640, 360}));
  EXPECT_EQ(resized_size({720, 1280}, 360, 1333), (Size{360, 640}));
  EXPECT_EQ(resized_size({1920, 1080}, 480, 1333), (Size{853, 480}));  // 853.33
  EXPECT_EQ(resized_size({640, 479}, 480, 1333), (Size{641, 480}));    // 641.34
  EXPECT_EQ(resized_size({500, 500}, 360, 1333), (Size{360, 360}));
}

TEST(ResizedSize, CapsTheLongestEdge) {
  EXPECT_EQ(resized_size({2000, 400}, 480, 1333), (Size{1333, 267}));  // 2400 x 480 shrunk by 1333 / 2400 = 266.6
  EXPECT_EQ(resized_size({20000, 20}, 360, 1333), (Size{1333, 1}));
  EXPECT_EQ(resized_size({1, 20000}, 360, 1333), (Size{1, 1333}));
  EXPECT_EQ(resized_size({1, 1}, 360, 1333), (Size{360, 360}));
}

TEST(ResizedSize, RefusesImpossibleEdges) {
  EXPECT_THROW((void)resized_size({10, 10}, 0, 1333), UsageError);
  EXPECT_THROW((void)resized_size({0, 10}, 360, 1333), InputError);
}

}  // namespace
}  // namespace visage::media
