#include "ops/shape/gather_rows.h"

#include "tests/support/devices.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace visage {
namespace {

Tensor indices_of(const std::vector<std::int64_t>& values) {
  return test::tensor_of({std::ssize(values)}, std::vector<double>(values.begin(), values.end()), DType::i64);
}

TEST(GatherRows, CopiesInOrder) {
  const double values[] = {1, 2, 3, 4, 5, 6};
  test::for_each_device([&](Device device) {
    for (const DType dtype : {DType::f32, DType::u8}) {
      const Tensor x = test::on(test::tensor_of({3, 2}, values, dtype), device);
      const Tensor y = ops::gather_rows(x, test::on(indices_of({2, 0, 2}), device));
      EXPECT_EQ(y.dtype(), dtype);
      EXPECT_EQ(test::values_of(y), (std::vector<double>{5, 6, 1, 2, 5, 6}));
      EXPECT_EQ(ops::gather_rows(y, test::on(indices_of({}), device)).size(), (Dims{0, 2}));
    }
  });
}

TEST(GatherRows, RowsLongerThanABlockCopies) {
  std::vector<double> values(2 * 5000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i % 251);
  const Tensor x = test::tensor_of({2, 5000}, values, DType::u8);
  std::rotate(values.begin(), values.begin() + 5000, values.end());
  test::for_each_device([&](Device device) {
    EXPECT_EQ(test::values_of(ops::gather_rows(test::on(x, device), test::on(indices_of({1, 0}), device))), values);
  });
}

TEST(GatherRows, AddsTheGradientsOfCopies) {
  const Tensor indices = indices_of({4, 1, 1, 0, 4, 4});
  EXPECT_TRUE(test::gradcheck([&](std::span<const Tensor> in) { return ops::gather_rows(in[0], indices); },
                              {test::random_normal({5, 7}, 1)}));
}

TEST(GatherRows, RefusesPartsThatDoNotFit) {
  const Tensor x = Tensor::zeros({3, 2});
  EXPECT_THROW((void)ops::gather_rows(x, indices_of({3})), ShapeError);
  EXPECT_THROW((void)ops::gather_rows(x, indices_of({-1})), ShapeError);
  EXPECT_THROW((void)ops::gather_rows(Tensor::zeros({3, 2, 1}), indices_of({0})), ShapeError);
  EXPECT_THROW((void)ops::gather_rows(x, Tensor::zeros({1}, DType::i32)), DTypeError);
  EXPECT_THROW((void)ops::gather_rows(Tensor::zeros({3, 2}, DType::bf16), indices_of({0})), DTypeError);
}

TEST(GatherRows, OnAGpuARowThatDoesNotExistIsNaNAndHasNoGradient) {
  test::for_each_device([](Device device) {
    if (device.type == DeviceType::cpu) return;
    const Tensor indices = test::on(indices_of({-1, 1, 2}), device);
    const Tensor x = test::on(Tensor::ones({2, 3}), device);
    const auto rows = test::values_of(ops::gather_rows(x, indices));
    for (int c = 0; c < 3; ++c) {
      EXPECT_TRUE(std::isnan(rows[c]) && std::isnan(rows[6 + c]));
      EXPECT_EQ(rows[3 + c], 1);
    }
    const Tensor bytes = test::on(test::tensor_of({1, 1}, std::vector<double>{7}, DType::u8), device);
    EXPECT_EQ(test::values_of(ops::gather_rows(bytes, indices)), (std::vector<double>{0, 0, 0}));
    const auto gather = [&](std::span<const Tensor> in) { return ops::gather_rows(in[0], indices); };
    EXPECT_EQ(test::values_of(test::gradients(gather, {x}, {true}, test::on(Tensor::ones({3, 3}), device))[0]),
              (std::vector<double>{0, 0, 0, 1, 1, 1}));
  });
}

TEST(GatherRows, IsTheSameOnEveryDevice) {
  std::vector<std::int64_t> many;  // most of them several times
  for (std::int64_t i = 0; i < 900; ++i) many.push_back(i * i % 31);
  for (const auto& indices : {std::vector<std::int64_t>{4, 1, 1, 0, 4, 4}, std::vector<std::int64_t>{}, many}) {
    const auto gather = [](const std::vector<Tensor>& in) { return std::vector{ops::gather_rows(in[0], in[1])}; };
    EXPECT_TRUE(
        test::same_on_devices(gather, {test::random_normal({31, 5}, 1), indices_of(indices)}, {.gradients_of = {0}}));
  }
  const auto of_window = [](const std::vector<Tensor>& in) {
    return std::vector{ops::gather_rows(Tensor::alias(in[0], {3, 4}, {9, 1}, 2), in[1])};
  };
  EXPECT_TRUE(test::same_on_devices(of_window, {test::random_normal({3, 9}, 1), indices_of({2, 0})}));
}

}  // namespace
}  // namespace visage
