#include "visage/media/jpeg.h"

#include "tensor/error.h"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace visage::media {

std::string encode_jpeg(const Image& image, int quality) {
  constexpr int kMostSide = 65535;
  check<UsageError>(quality >= 1 && quality <= 100, "JPEG quality must be from 1 to 100; got ", quality);
  check<InputError>(image.width >= 1 && image.height >= 1 && image.width <= kMostSide && image.height <= kMostSide,
                    "encoding a JPEG failed: sides must be from 1 to ", kMostSide, " pixels; the image is ",
                    image.width, "x", image.height);
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(size));
  };
  const int written = stbi_write_jpg_to_func(append, &bytes, image.width, image.height, 3, image.rgb.data(), quality);
  check<InputError>(written != 0, "encoding a JPEG failed");
  return bytes;
}

}  // namespace visage::media
