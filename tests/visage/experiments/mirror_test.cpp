#include "visage/experiments/mirror.h"

#include <gtest/gtest.h>

namespace visage::experiments {
namespace {

TEST(Mirror, ExchangesLeftAndRightOfImageAndMask) {
  media::Image image(3, 2);
  std::vector<std::uint8_t> mask(6);
  image.pixel(0, 1)[2] = 9;
  mask[3] = 1;  // the same pixel
  const media::Image flipped = mirrored(image);
  EXPECT_EQ(flipped.pixel(2, 1)[2], 9);
  EXPECT_EQ(flipped.pixel(0, 1)[2], 0);
  EXPECT_EQ(annotation::decode_rows(mirrored(annotation::encode_rows(mask.data(), 2, 3))),
            (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(mirrored(flipped).rgb, image.rgb);
}

}  // namespace
}  // namespace visage::experiments
