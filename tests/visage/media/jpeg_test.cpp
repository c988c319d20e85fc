#include "visage/media/jpeg.h"

#include "tensor/error.h"
#include "tests/support/files.h"
#include "tests/visage/media/pictures.h"
#include "visage/media/image_file.h"

#include <gtest/gtest.h>

namespace visage::media {
namespace {

TEST(Jpeg, IsReadBackNearlyAsItWas) {
  const visage::test::TemporaryFolder folder;
  const Image picture = test::moving_picture({97, 61}, 3);
  const auto error_at = [&](int quality) {
    visage::test::write_text(folder / "a.jpg", encode_jpeg(picture, quality));
    return test::mean_difference(read_image(folder / "a.jpg"), picture);
  };
  EXPECT_LT(error_at(95), 1.5);
  EXPECT_GT(error_at(10), error_at(95));
  EXPECT_LT(encode_jpeg(picture, 10).size(), encode_jpeg(picture, 95).size());
}

TEST(Jpeg, RefusesWhatItCannotEncode) {
  EXPECT_THROW((void)encode_jpeg(Image()), InputError);
  EXPECT_THROW((void)encode_jpeg(Image(65536, 1)), InputError);
  EXPECT_THROW((void)encode_jpeg(Image(2, 2), 101), UsageError);
}

}  // namespace
}  // namespace visage::media
