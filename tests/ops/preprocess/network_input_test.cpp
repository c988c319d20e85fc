#include "ops/preprocess/network_input.h"

#include "ops/preprocess/antialias.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage::ops {
namespace {

using test::for_each_device;
using test::values_of;

Tensor picture(const ImageSize& size) {
  const Tensor image = Tensor::empty({size.height, size.width, 3}, DType::u8);
  auto* const bytes = image.data<std::uint8_t>();
  for (std::int64_t i = 0; i < image.numel(); ++i) {
    const std::int64_t x = i / 3 % size.width, y = i / 3 / size.width;
    bytes[i] = static_cast<std::uint8_t>(x * x * 3 + y * 7 * (i % 3 + 1) + x * y * 11 + i % 3 * 97);
  }
  return image;
}

/// Sizes: frame, image, padded.
const std::vector<std::vector<ImageSize>> kProblems = {
    {{37, 23}, {37, 23}, {64, 32}},  // no resizing
    {{37, 45}, {16, 20}, {32, 32}},  // smaller
    {{9, 20}, {30, 67}, {32, 96}},   // larger
    {{9, 20}, {30, 20}, {30, 20}},   // one axis, no padding
    {{5, 200}, {1, 13}, {8, 33}},    // long filters
    {{90, 3}, {4, 3}, {5, 3}},       // more rows of the frame than are staged at a time
    {{1, 1}, {4, 3}, {32, 32}},
};

/// The rule in separate steps.
Tensor in_steps(const Tensor& frame, const ImageSize& image, const ImageSize& padded) {
  const Tensor resized = Tensor::empty({image.height, image.width, 3}, DType::u8);
  resize_antialiased(frame.data<std::uint8_t>(), {frame.size(0), frame.size(1)}, resized.data<std::uint8_t>(), image);
  const float mean[] = {123.675f, 116.28f, 103.53f}, deviation[] = {58.395f, 57.12f, 57.375f};
  const Tensor out = Tensor::zeros({padded.height, padded.width, 3});
  for (std::int64_t y = 0; y < image.height; ++y)
    for (std::int64_t i = 0; i < 3 * image.width; ++i)
      out.data<float>()[3 * y * padded.width + i] =
          (static_cast<float>(resized.data<std::uint8_t>()[3 * y * image.width + i]) - mean[i % 3]) / deviation[i % 3];
  return out;
}

TEST(NetworkInput, EqualsTheSeparateStepsBitByBit) {
  for_each_device([](Device device) {
    for (const std::vector<ImageSize>& sizes : kProblems) {
      SCOPED_TRACE(testing::Message() << sizes[0].height << " x " << sizes[0].width);
      const Tensor frame = picture(sizes[0]), want = in_steps(frame, sizes[1], sizes[2]);
      const InputPlan plan = plan_input(sizes[0], sizes[1], sizes[2], device);
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        // Whatever was in the output is overwritten.
        const Tensor out = test::on(test::random_normal(want.size(), 1, dtype), device);
        network_input(test::on(frame, device), plan, out);
        EXPECT_EQ(values_of(out), values_of(test::converted(want, dtype))) << name_of(dtype);
      }
    }
  });
}

TEST(NetworkInput, RefusesWhatDoesNotFit) {
  EXPECT_THROW((void)plan_input({4, 4}, {4, 4}, {4, 3}), ShapeError);
  EXPECT_THROW((void)plan_input({4, 0}, {4, 4}, {4, 4}), ShapeError);
  EXPECT_THROW((void)plan_input({4, 4}, {0, 4}, {4, 4}), ShapeError);
  const InputPlan plan = plan_input({4, 5}, {4, 5}, {32, 32});
  const Tensor frame = picture({4, 5}), out = Tensor::empty({32, 32, 3});
  EXPECT_THROW(network_input(picture({5, 4}), plan, out), ShapeError);
  EXPECT_THROW(network_input({}, plan, out), ShapeError);
  EXPECT_THROW(network_input(frame, plan, Tensor::empty({32, 33, 3})), ShapeError);
  EXPECT_THROW(network_input(Tensor::zeros({4, 5, 3}), plan, out), DTypeError);
  EXPECT_THROW(network_input(frame, plan, Tensor::empty({32, 32, 3}, DType::u8)), DTypeError);
}

}  // namespace
}  // namespace visage::ops
