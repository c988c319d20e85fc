#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace visage::media {

struct Size {
  int width = 0;
  int height = 0;
  friend bool operator==(const Size&, const Size&) = default;
};

/// Most pixels an image or a frame may have; a larger one is refused before memory is taken for it.
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

/// 8-bit RGB picture, row-major, 3 bytes a pixel, no padding between rows: rgb.size() == 3 * width * height.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;

  Image() = default;
  /// Black image.
  Image(int image_width, int image_height)
      : width(image_width),
        height(image_height),
        rgb(std::size_t{3} * static_cast<std::size_t>(image_width) * image_height) {}
  explicit Image(Size size) : Image(size.width, size.height) {}

  [[nodiscard]] Size size() const { return {width, height}; }
  [[nodiscard]] uint8_t* row(int64_t y) { return rgb.data() + 3 * y * width; }
  [[nodiscard]] const uint8_t* row(int64_t y) const { return rgb.data() + 3 * y * width; }
  [[nodiscard]] uint8_t* pixel(int64_t x, int64_t y) { return row(y) + 3 * x; }
  [[nodiscard]] const uint8_t* pixel(int64_t x, int64_t y) const { return row(y) + 3 * x; }
};

}  // namespace visage::media
