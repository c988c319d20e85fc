#include "visage/media/resize.h"

#include "tensor/cpu/parallel.h"
#include "tensor/error.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace visage::media {
namespace {

// Three bytes' room below the sign of an int32: 8 bits of pixel, 22 of weight, 2 spare against overflow of the sum.
constexpr int kWeightBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);

/// Taps of one axis: output i reads inputs first[i] .. first[i] + count[i] - 1 with weights[i * stride ...].
struct Taps {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<int32_t> weights;
};

Taps make_taps(int in, int out) {
  const double ratio = static_cast<double>(in) / out;
  const double support = std::max(ratio, 1.0);
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(out);
  taps.count.resize(out);
  taps.weights.resize(static_cast<size_t>(out) * taps.stride);
  std::vector<double> exact(taps.stride);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * ratio;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in) - first;
    double sum = 0;
    for (int j = 0; j < count; ++j) {
      // Multiplying by the reciprocal, not dividing, is part of the reference's rounding.
      exact[j] = std::max(0.0, 1.0 - std::abs((j + first - center + 0.5) * (1.0 / support)));
      sum += exact[j];
    }
    for (int j = 0; j < count; ++j) {
      const double weight = sum != 0 ? exact[j] / sum : exact[j];
      taps.weights[static_cast<size_t>(i) * taps.stride + j] = static_cast<int>(0.5 + weight * (1 << kWeightBits));
    }
    taps.first[i] = first;
    taps.count[i] = count;
  }
  return taps;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

Image resize_columns(const Image& in, int width) {
  const Taps taps = make_taps(in.width, width);
  Image out(width, in.height);
  cpu::parallel_for(in.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      uint8_t* to = out.row(y);
      for (int x = 0; x < width; ++x, to += 3) {
        const uint8_t* from = in.pixel(taps.first[x], y);
        const int32_t* weight = &taps.weights[static_cast<size_t>(x) * taps.stride];
        int32_t red = kHalf, green = kHalf, blue = kHalf;
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
  return out;
}

Image resize_rows(const Image& in, int height) {
  const Taps taps = make_taps(in.height, height);
  Image out(in.width, height);
  const int64_t bytes = int64_t{3} * in.width;
  cpu::parallel_for(height, 8, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sums(bytes);
    for (int64_t y = begin; y < end; ++y) {
      std::fill(sums.begin(), sums.end(), kHalf);
      for (int j = 0; j < taps.count[y]; ++j) {
        const uint8_t* from = in.row(taps.first[y] + j);
        const int32_t weight = taps.weights[y * taps.stride + j];
        for (int64_t i = 0; i < bytes; ++i) sums[i] += from[i] * weight;
      }
      uint8_t* to = out.row(y);
      for (int64_t i = 0; i < bytes; ++i) to[i] = to_byte(sums[i]);
    }
  });
  return out;
}

}  // namespace

Size resized_size(Size in, int shortest, int longest) {
  check<UsageError>(shortest >= 1 && longest >= 1, "resized_size: edges must be at least 1 pixel; got shortest ",
                    shortest, ", longest ", longest);
  check<InputError>(in.width >= 1 && in.height >= 1, "resized_size: empty image; got ", in.width, "x", in.height);
  const double scale = static_cast<double>(shortest) / std::min(in.width, in.height);
  double width = in.height < in.width ? scale * in.width : shortest;
  double height = in.height < in.width ? shortest : scale * in.height;
  if (std::max(width, height) > longest) {
    const double shrink = static_cast<double>(longest) / std::max(width, height);
    width *= shrink;
    height *= shrink;
  }
  return {std::max(static_cast<int>(width + 0.5), 1), std::max(static_cast<int>(height + 0.5), 1)};
}

Image resize(const Image& image, Size out) {
  check<UsageError>(out.width >= 1 && out.height >= 1, "resize: output must be at least 1x1; got ", out.width, "x",
                    out.height);
  check<InputError>(image.width >= 1 && image.height >= 1, "resize: empty image");
  if (image.width == out.width) return image.height == out.height ? image : resize_rows(image, out.height);
  Image narrowed = resize_columns(image, out.width);
  return narrowed.height == out.height ? narrowed : resize_rows(narrowed, out.height);
}

}  // namespace visage::media
