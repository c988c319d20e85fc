#include "visage/pipeline/preprocess.h"

#include "tensor/cpu/parallel.h"

#include <array>

namespace visage::pipeline {
namespace {

constexpr std::array<float, 3> kMean{123.675f, 116.28f, 103.53f};
constexpr std::array<float, 3> kStd{58.395f, 57.12f, 57.375f};
constexpr std::int64_t kMultiple = 32;  // the stride of res5

}  // namespace

Tensor network_input(std::span<const media::Image> frames) {
  check<InputError>(!frames.empty(), "network_input: no frames");
  const std::int64_t height = frames[0].height, width = frames[0].width;
  check<InputError>(height > 0 && width > 0, "network_input: a frame is empty");
  for (const media::Image& frame : frames)
    check<InputError>(frame.height == height && frame.width == width,
                      "network_input: frames differ in size: ", frame.width, "x", frame.height, " after ", width, "x",
                      height);
  const auto padded = [](std::int64_t n) { return (n + kMultiple - 1) / kMultiple * kMultiple; };
  Tensor input = Tensor::zeros({static_cast<std::int64_t>(frames.size()), padded(height), padded(width), 3});
  const std::int64_t row = input.size(2) * 3;
  for (std::size_t n = 0; n < frames.size(); ++n) {
    float* image = input.data<float>() + static_cast<std::int64_t>(n) * input.stride()[0];
    const std::uint8_t* rgb = frames[n].rgb.data();
    cpu::parallel_for(height, 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y)
        for (std::int64_t i = 0; i < width * 3; ++i)
          image[y * row + i] = (static_cast<float>(rgb[y * width * 3 + i]) - kMean[i % 3]) / kStd[i % 3];
    });
  }
  return input;
}

}  // namespace visage::pipeline
