#include "visage/pipeline/preprocess.h"

#include "tensor/cpu/parallel.h"

#include <array>

namespace visage::pipeline {
namespace {

constexpr std::array<float, 3> kMean{123.675f, 116.28f, 103.53f};
constexpr std::array<float, 3> kStd{58.395f, 57.12f, 57.375f};
constexpr std::int64_t kMultiple = 32;  // the stride of res5

}  // namespace

std::int64_t padded_side(std::int64_t pixels) { return (pixels + kMultiple - 1) / kMultiple * kMultiple; }

void normalise(const media::Image& frame, float* to, std::int64_t row_pixels) {
  const std::int64_t row = row_pixels * 3, values = std::int64_t{frame.width} * 3;
  cpu::parallel_for(frame.height, 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t y = begin; y < end; ++y) {
      const std::uint8_t* rgb = frame.row(y);
      for (std::int64_t i = 0; i < values; ++i)
        to[y * row + i] = (static_cast<float>(rgb[i]) - kMean[i % 3]) / kStd[i % 3];
    }
  });
}

Tensor network_input(std::span<const media::Image> frames) {
  check<InputError>(!frames.empty(), "network_input: no frames");
  const std::int64_t height = frames[0].height, width = frames[0].width;
  check<InputError>(height > 0 && width > 0, "network_input: a frame is empty");
  for (const media::Image& frame : frames)
    check<InputError>(frame.height == height && frame.width == width,
                      "network_input: frames differ in size: ", frame.width, "x", frame.height, " after ", width, "x",
                      height);
  Tensor input = Tensor::zeros({static_cast<std::int64_t>(frames.size()), padded_side(height), padded_side(width), 3});
  for (std::size_t n = 0; n < frames.size(); ++n)
    normalise(frames[n], input.data<float>() + static_cast<std::int64_t>(n) * input.stride()[0], input.size(2));
  return input;
}

}  // namespace visage::pipeline
