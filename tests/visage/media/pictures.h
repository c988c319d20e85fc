#pragma once
#include "visage/media/image.h"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace visage::media::test {

/// Smooth picture that moves with `t`, so that lossy codecs keep it nearly and frames can be told apart.
inline Image moving_picture(Size size, int t) {
  Image image(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const double wave = 60 * std::sin(0.1 * x + 0.3 * t) + 40 * std::cos(0.13 * y - 0.2 * t);
      image.pixel(x, y)[0] = static_cast<uint8_t>(120 + wave);
      image.pixel(x, y)[1] = static_cast<uint8_t>(60 + 4 * t);
      image.pixel(x, y)[2] = static_cast<uint8_t>(130 - wave);
    }
  }
  return image;
}

/// Mean absolute difference over all channels, in grey levels; 255 when the sizes differ.
inline double mean_difference(const Image& a, const Image& b) {
  if (a.size() != b.size()) return 255;
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

/// Binary PPM of one colour; the red channel tells frames apart.
inline std::string ppm(int width, int height, int red) {
  std::string text = "P6\n" + std::to_string(width) + ' ' + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i) text += {static_cast<char>(red), '\x40', '\x80'};
  return text;
}

/// A stream that ends after `bytes`, as a closed pipe does. They have to fit into a pipe: 64 KiB.
struct Pipe {
  explicit Pipe(const std::string& bytes) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    read_end = ends[0];
    const bool written =
        bytes.size() <= 1 << 16 && ::write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    ::close(ends[1]);
    if (!written) throw std::runtime_error("write");
  }
  ~Pipe() { ::close(read_end); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end;
};

}  // namespace visage::media::test
