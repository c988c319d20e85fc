#include "visage/media/image_file.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace visage::media {
namespace {

using test::moving_picture;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using visage::test::data_path;
using visage::test::message_of;
using visage::test::read_text;
using visage::test::TemporaryFolder;
using visage::test::write_text;

std::string refusal(const std::string& path) {
  return message_of<InputError>([&] { (void)read_image(path); });
}

TEST(ImageFile, PngRoundTripIsExact) {
  const TemporaryFolder folder;
  for (const Size size : {Size{1, 1}, Size{31, 17}, Size{20000, 20}}) {
    const Image image = moving_picture(size, 3);
    write_png(folder / "x.png", image);
    EXPECT_EQ(read_image_size(folder / "x.png"), size);
    EXPECT_EQ(read_image(folder / "x.png").rgb, image.rgb);
  }
}

TEST(ImageFile, ReadsJpeg) {
  // Made with Pillow from an image of one colour, RGB (200, 100, 50), 24 x 16, quality 95.
  const Image image = read_image(data_path("media/orange.jpg"));
  ASSERT_EQ(image.size(), (Size{24, 16}));
  EXPECT_NEAR(image.pixel(12, 8)[0], 200, 3);
  EXPECT_NEAR(image.pixel(12, 8)[1], 100, 3);
  EXPECT_NEAR(image.pixel(12, 8)[2], 50, 3);
}

TEST(ImageFile, ReadsPnmWithComments) {
  const TemporaryFolder folder;
  write_text(folder / "x.ppm", std::string("P6 # made by hand\n# 2 pixels\n2 1\n255\n") + "abcdef");
  EXPECT_THAT(read_image(folder / "x.ppm").rgb, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  write_text(folder / "x.pgm", "P5 2 1 255\nab");
  EXPECT_THAT(read_image(folder / "x.pgm").rgb, ElementsAre('a', 'a', 'a', 'b', 'b', 'b'));
}

TEST(ImageFile, RefusesEveryCutFile) {
  const TemporaryFolder folder;
  write_png(folder / "whole.png", moving_picture({40, 30}, 0));
  const std::string bmp_header("BM\x3e\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0", 34);
  write_text(folder / "whole.bmp", bmp_header + std::string(20, '\0') + "abcdef" + std::string(2, '\0'));
  write_text(folder / "whole.ppm", "P6 2 2 255\n" + std::string(12, 'x'));
  write_text(folder / "whole.jpg", read_text(data_path("media/orange.jpg")));
  for (const std::string extension : {".png", ".bmp", ".ppm", ".jpg"}) {
    EXPECT_NO_THROW((void)read_image(folder / ("whole" + extension))) << extension;
    const std::string bytes = read_text(folder / ("whole" + extension));
    for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 50) {
      write_text(folder / ("cut" + extension), bytes.substr(0, length));
      EXPECT_THAT(refusal(folder / ("cut" + extension)),
                  AllOf(HasSubstr("cannot read image"), HasSubstr("cut" + extension)))
          << length << " of " << bytes.size();
    }
    write_text(folder / ("cut" + extension), bytes.substr(0, bytes.size() - 1));
    EXPECT_THAT(refusal(folder / ("cut" + extension)), HasSubstr("cut short")) << extension;
  }
}

TEST(ImageFile, RefusesAFlippedBitInAPng) {
  const TemporaryFolder folder;
  write_png(folder / "x.png", moving_picture({40, 30}, 0));
  std::string bytes = read_text(folder / "x.png");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_text(folder / "x.png", bytes);
  EXPECT_THAT(refusal(folder / "x.png"), HasSubstr("checksum"));
}

TEST(ImageFile, RefusesBombsAndMissingFiles) {
  const TemporaryFolder folder;
  write_text(folder / "huge.ppm", "P6 1000000 1000000 255\nx");
  EXPECT_THAT(refusal(folder / "huge.ppm"), HasSubstr("huge.ppm"));
  write_text(folder / "large.ppm", "P6 16777216 17 255\nx");
  EXPECT_THAT(refusal(folder / "large.ppm"), HasSubstr("pixels"));
  EXPECT_THAT(refusal(folder / "none.png"), HasSubstr("No such file"));
}

TEST(IdMap, KeepsBothBytes) {
  const TemporaryFolder folder;
  write_text(folder / "ids.png", encode_id_map(std::vector<uint16_t>{0x1234, 0xFF00}, {2, 1}));
  EXPECT_THAT(read_image(folder / "ids.png").rgb, ElementsAre(0x12, 0x12, 0x12, 0xFF, 0xFF, 0xFF));
  EXPECT_EQ(read_text(folder / "ids.png")[24], 16);  // bit depth of the header
  EXPECT_THROW((void)encode_id_map(std::vector<uint16_t>{1}, {2, 1}), UsageError);
}

}  // namespace
}  // namespace visage::media
