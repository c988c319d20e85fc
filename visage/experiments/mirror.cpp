#include "visage/experiments/mirror.h"

#include <algorithm>

namespace visage::experiments {

media::Image mirrored(const media::Image& image) {
  media::Image result(image.size());
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t x = 0; x < image.width; ++x)
      std::copy_n(image.pixel(x, y), 3, result.pixel(image.width - 1 - x, y));
  return result;
}

annotation::Rle mirrored(const annotation::Rle& mask) {
  std::vector<std::uint8_t> rows = annotation::decode_rows(mask);
  for (std::int64_t y = 0; y < mask.height; ++y)
    std::reverse(rows.begin() + y * mask.width, rows.begin() + (y + 1) * mask.width);
  return annotation::encode_rows(rows.data(), mask.height, mask.width);
}

}  // namespace visage::experiments
