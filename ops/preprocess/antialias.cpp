#include "ops/preprocess/antialias.h"

#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <cmath>

namespace visage::ops {
namespace {

constexpr std::int32_t kHalf = 1 << (kAntialiasBits - 1);

std::uint8_t to_byte(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kAntialiasBits, 0, 255)); }

void resize_columns(const std::uint8_t* in, const ImageSize& size, std::uint8_t* out, std::int64_t width) {
  const AntialiasTaps taps = antialias_taps(size.width, width);
  cpu::parallel_for(size.height, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      std::uint8_t* to = out + 3 * y * width;
      for (std::int64_t x = 0; x < width; ++x, to += 3) {
        const std::uint8_t* from = in + 3 * (y * size.width + taps.first[x]);
        const std::int32_t* weight = &taps.weights[x * taps.stride];
        std::int32_t red = kHalf, green = kHalf, blue = kHalf;
        for (int j = 0; j < taps.count[x]; ++j, from += 3) {
          red += from[0] * weight[j];
          green += from[1] * weight[j];
          blue += from[2] * weight[j];
        }
        to[0] = to_byte(red);
        to[1] = to_byte(green);
        to[2] = to_byte(blue);
      }
    }
  });
}

void resize_rows(const std::uint8_t* in, const ImageSize& size, std::uint8_t* out, std::int64_t height) {
  const AntialiasTaps taps = antialias_taps(size.height, height);
  const std::int64_t bytes = 3 * size.width;
  cpu::parallel_for(height, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> sums(bytes);
    for (std::int64_t y = begin; y < end; ++y) {
      std::fill(sums.begin(), sums.end(), kHalf);
      for (int j = 0; j < taps.count[y]; ++j) {
        const std::uint8_t* from = in + (taps.first[y] + j) * bytes;
        const std::int32_t weight = taps.weights[y * taps.stride + j];
        for (std::int64_t i = 0; i < bytes; ++i) sums[i] += from[i] * weight;
      }
      std::uint8_t* to = out + y * bytes;
      for (std::int64_t i = 0; i < bytes; ++i) to[i] = to_byte(sums[i]);
    }
  });
}

}  // namespace

AntialiasTaps antialias_taps(std::int64_t in, std::int64_t out) {
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  const double support = std::max(ratio, 1.0);
  AntialiasTaps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(out);
  taps.count.resize(out);
  taps.weights.resize(static_cast<std::size_t>(out) * taps.stride);
  std::vector<double> exact(taps.stride);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * ratio;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), static_cast<int>(in)) - first;
    double sum = 0;
    for (int j = 0; j < count; ++j) {
      // Multiplying by the reciprocal, not dividing, is part of the reference's rounding.
      exact[j] = std::max(0.0, 1.0 - std::abs((j + first - center + 0.5) * (1.0 / support)));
      sum += exact[j];
    }
    for (int j = 0; j < count; ++j) {
      const double weight = sum != 0 ? exact[j] / sum : exact[j];
      taps.weights[static_cast<std::size_t>(i) * taps.stride + j] =
          static_cast<int>(0.5 + weight * (1 << kAntialiasBits));
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

void resize_antialiased(const std::uint8_t* in, const ImageSize& in_size, std::uint8_t* out,
                        const ImageSize& out_size) {
  if (in_size == out_size) {
    std::copy_n(in, 3 * in_size.height * in_size.width, out);
  } else if (in_size.width == out_size.width) {
    resize_rows(in, in_size, out, out_size.height);
  } else if (in_size.height == out_size.height) {
    resize_columns(in, in_size, out, out_size.width);
  } else {
    std::vector<std::uint8_t> narrowed(3 * in_size.height * out_size.width);
    resize_columns(in, in_size, narrowed.data(), out_size.width);
    resize_rows(narrowed.data(), {in_size.height, out_size.width}, out, out_size.height);
  }
}

}  // namespace visage::ops
