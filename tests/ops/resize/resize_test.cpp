#include "ops/resize/resize.h"

#include "ops/shape/concatenate.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/nchw.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

Tensor permuted(const Tensor& x, std::initializer_list<int> order) {
  Dims size, stride;
  for (const int axis : order) {
    size.append(x.size(axis));
    stride.append(x.stride()[axis]);
  }
  return Tensor::alias(x, size, stride);
}

Tensor contiguous(const Tensor& x) { return test::tensor_of(x.size(), test::values_of(x), x.dtype()); }

TEST(ResizeGolden, EqualsTheRecordedNumbersInBothLayouts) {
  const test::GoldenFile golden("ops.safetensors");
  for (const char* name : {"interp_up", "interp_up2x", "interp_down", "interp_down8", "interp_mixed", "interp_same"}) {
    const std::string op = name;
    const Tensor x = golden.load(op + "/in/x");
    const Dims size = golden.at(op + "/out/y").full_size;
    EXPECT_TRUE(golden.matches(op + "/out/y", resize_bilinear_planes(x, size[2], size[3]))) << op;
    const Tensor y = resize_bilinear(contiguous(permuted(x, {0, 2, 3, 1})), size[2], size[3]);
    EXPECT_TRUE(golden.matches(op + "/out/y", permuted(y, {0, 3, 1, 2}))) << op;
  }
}

TEST(ResizeGolden, EqualsTheRecordedGradientsInBothLayouts) {
  const test::GoldenFile golden("ops.safetensors");
  for (const char* name : {"interp_up", "interp_up2x", "interp_down", "interp_down8", "interp_mixed", "interp_same"}) {
    const std::string op = name;
    const Tensor x = golden.load(op + "/in/x"), up = golden.load(op + "/up/y");
    const auto planes = [&](std::span<const Tensor> in) {
      return resize_bilinear_planes(in[0], up.size(2), up.size(3));
    };
    EXPECT_TRUE(golden.matches(op + "/grad/x", test::gradients(planes, {x}, {true}, up)[0])) << op;
    const auto image = [&](std::span<const Tensor> in) { return resize_bilinear(in[0], up.size(2), up.size(3)); };
    const Tensor gx = test::gradients(image, {test::to_nhwc(x)}, {true}, test::to_nhwc(up))[0];
    EXPECT_TRUE(golden.matches(op + "/grad/x", test::to_nchw(gx))) << op;
  }
}

TEST(Resize, GradientsAreTheDerivatives) {
  for (const Dims& to : {Dims{7, 4}, Dims{3, 5}, Dims{1, 1}, Dims{6, 10}, Dims{13, 2}}) {
    const auto image = [&](std::span<const Tensor> in) { return resize_bilinear(in[0], to[0], to[1]); };
    EXPECT_TRUE(test::gradcheck(image, {random_normal({2, 3, 5, 4}, 1)})) << to;
    EXPECT_TRUE(test::gradcheck(image, {random_normal({2, 6, 5, 40}, 1)})) << to;
    const auto planes = [&](std::span<const Tensor> in) { return resize_bilinear_planes(in[0], to[0], to[1]); };
    EXPECT_TRUE(test::gradcheck(planes, {random_normal({2, 3, 5, 4}, 1)})) << to;
    EXPECT_TRUE(test::gradcheck(planes, {random_normal({1, 5}, 1)})) << to;
  }
}

TEST(Resize, APitchedImageGetsAContiguousGradient) {
  const Tensor wide = random_normal({1, 3, 5, 24}, 1), up = random_normal({1, 4, 4, 16}, 2);
  const Tensor window = Tensor::alias(wide, {1, 3, 5, 16}, wide.stride(), 8);
  const auto image = [](std::span<const Tensor> in) { return resize_bilinear(in[0], 4, 4); };
  EXPECT_TRUE(allclose(test::gradients(image, {window}, {true}, up)[0],
                       test::gradients(image, {contiguous(window)}, {true}, up)[0]));
}

TEST(Resize, BlendsTheFourNeighbours) {
  const Tensor x = test::tensor_of({1, 2, 2, 1}, std::vector<double>{0, 4, 8, 12});
  const std::vector<double> want = {0, 1, 3, 4, 2, 3, 5, 6, 6, 7, 9, 10, 8, 9, 11, 12};
  EXPECT_TRUE(allclose(resize_bilinear(x, 4, 4), test::tensor_of({1, 4, 4, 1}, want)));
}

TEST(Resize, ReadsPitchedImages) {
  const Tensor wide = random_normal({2, 3, 5, 24}, 1);
  const Tensor window = Tensor::alias(wide, {2, 3, 5, 16}, wide.stride(), 8);
  EXPECT_TRUE(allclose(resize_bilinear(window, 7, 4), resize_bilinear(contiguous(window), 7, 4)));
}

TEST(Resize, DoublingAddsTheResizedImage) {
  for (const DType low_type : {DType::f32, DType::bf16})
    for (const DType type : {DType::f32, DType::bf16}) {
      const Tensor low = random_normal({2, 3, 5, 20}, 2, low_type);
      const Tensor y = random_normal({2, 6, 10, 20}, 3, type);
      const Tensor up = resize_bilinear(test::converted(low, DType::f32), 6, 10);
      std::vector<double> want = test::values_of(y);
      const std::vector<double> added = test::values_of(up);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] += added[i];
      const auto version = y.storage()->version();
      upsample2x_add(low, y);
      EXPECT_TRUE(allclose(y, test::tensor_of(y.size(), want), {.reduced = 5}));
      EXPECT_GT(y.storage()->version(), version);
    }
}

TEST(Resize, PoolingTheCentreIsResizingByAPowerOfTwo) {
  const Tensor y = random_normal({2, 16, 24, 19}, 4);
  for (const std::int64_t ratio : {2, 4, 8})
    EXPECT_TRUE(allclose(pool_center(y, {ratio})[0], resize_bilinear(y, 16 / ratio, 24 / ratio), {.reduced = 4}))
        << ratio;
  const Tensor half = test::converted(y, DType::bf16);
  EXPECT_TRUE(
      allclose(pool_center(half, {4})[0], resize_bilinear(test::converted(half, DType::f32), 4, 6), {.reduced = 4}));
}

TEST(Resize, RefusesWhatItCannotResize) {
  const Tensor x = Tensor::zeros({1, 6, 8, 4});
  EXPECT_THROW((void)resize_bilinear(x, 0, 4), ShapeError);
  EXPECT_THROW((void)resize_bilinear(Tensor::zeros({6, 8, 4}), 2, 2), ShapeError);
  EXPECT_THROW((void)resize_bilinear(Tensor::zeros({1, 6, 8, 4}, DType::i32), 2, 2), DTypeError);
  EXPECT_THROW((void)resize_bilinear_planes(permuted(x, {0, 2, 1, 3}), 2, 2), ShapeError);
  EXPECT_THROW(upsample2x_add(x, Tensor::zeros({1, 12, 15, 4})), ShapeError);
  EXPECT_THROW((void)pool_center(x, {4}), ShapeError);
  EXPECT_THROW((void)pool_center(x, {3}), ShapeError);
  EXPECT_THROW((void)pool_center(x, {}), ShapeError);
}

using Tensors = std::vector<Tensor>;

TEST(ResizeOnDevices, IsTheSame) {
  for (const Dims& to : {Dims{7, 4}, Dims{3, 5}, Dims{1, 1}, Dims{6, 10}, Dims{13, 2}}) {
    const auto image = [&](const Tensors& in) { return Tensors{resize_bilinear(in[0], to[0], to[1])}; };
    EXPECT_TRUE(test::same_on_devices(image, {random_normal({2, 3, 5, 4}, 1)}, {.gradients_of = {0}})) << to;
    EXPECT_TRUE(test::same_on_devices(image, {random_normal({2, 6, 5, 7}, 1)}, {.gradients_of = {0}})) << to;
    const auto planes = [&](const Tensors& in) { return Tensors{resize_bilinear_planes(in[0], to[0], to[1])}; };
    EXPECT_TRUE(test::same_on_devices(planes, {random_normal({3, 2, 6, 5}, 1)}, {.gradients_of = {0}})) << to;
  }
  const auto wide = [](const Tensors& in) { return Tensors{resize_bilinear_planes(in[0], 3, 700)}; };
  EXPECT_TRUE(test::same_on_devices(wide, {random_normal({2, 150}, 1)}, {.gradients_of = {0}}));
}

TEST(ResizeOnDevices, ReadsPitchedImages) {
  const auto window = [](const Tensors& in) {
    const Tensor x = Tensor::alias(in[0], {2, 3, 4, 8}, {5 * 4 * 12, 4 * 12, 12, 1}, 4);
    return Tensors{resize_bilinear(x, 5, 9), pool_center(Tensor::alias(x, {2, 2, 4, 6}, x.stride(), 1), {2})[0]};
  };
  EXPECT_TRUE(test::same_on_devices(window, {random_normal({2, 5, 4, 12}, 1)}));
}

TEST(ResizeOnDevices, PyramidStepsAreTheSame) {
  for (const DType low : {DType::f32, DType::bf16}) {
    for (const DType high : {DType::f32, DType::bf16}) {
      for (const std::int64_t channels : {5, 16}) {
        const double tolerance = high == DType::f32 ? 1e-6 : 1e-2;
        const Tensor x = random_normal({2, 3, 5, channels}, 1, low);
        const Tensor y = random_normal({2, 6, 10, channels}, 2, high);
        const auto on_copy = [&](const Tensors& in) {
          const Tensor copy = concatenate({in[1]}, 0);
          upsample2x_add(in[0], copy);
          return Tensors{copy};
        };
        EXPECT_TRUE(test::same_on_devices(on_copy, {x, y}, {.output_tolerance = tolerance}));
      }
    }
    const auto pool = [&](const Tensors& in) { return pool_center(in[0], {2, 8, 4}); };
    for (const std::int64_t channels : {9, 16})
      EXPECT_TRUE(
          test::same_on_devices(pool, {random_normal({2, 8, 16, channels}, 1, low)}, {.output_tolerance = 1e-2}));
  }
}

}  // namespace
}  // namespace visage::ops
