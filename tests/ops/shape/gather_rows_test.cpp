#include "ops/shape/gather_rows.h"

#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <vector>

namespace visage {
namespace {

TEST(GatherRows, CopiesInOrder) {
  const double values[] = {1, 2, 3, 4, 5, 6};
  const std::int64_t indices[] = {2, 0, 2};
  const Tensor y = ops::gather_rows(test::tensor_of({3, 2}, values), indices);
  EXPECT_EQ(test::values_of(y), (std::vector<double>{5, 6, 1, 2, 5, 6}));
  EXPECT_EQ(ops::gather_rows(y, {}).size(), (Dims{0, 2}));
}

TEST(GatherRows, AddsTheGradientsOfCopies) {
  const std::vector<std::int64_t> indices{4, 1, 1, 0, 4, 4};
  EXPECT_TRUE(test::gradcheck([&](std::span<const Tensor> in) { return ops::gather_rows(in[0], indices); },
                              {test::random_normal({5, 7}, 1)}));
}

TEST(GatherRows, RefusesIndicesOutside) {
  const std::int64_t above[] = {3}, below[] = {-1};
  EXPECT_THROW((void)ops::gather_rows(Tensor::zeros({3, 2}), above), ShapeError);
  EXPECT_THROW((void)ops::gather_rows(Tensor::zeros({3, 2}), below), ShapeError);
}

TEST(GatherRows, IsTheSameOnEveryDevice) {
  std::vector<std::int64_t> many;  // more than one launch takes, most of them several times
  for (std::int64_t i = 0; i < 900; ++i) many.push_back(i * i % 31);
  for (const auto& indices : {std::vector<std::int64_t>{4, 1, 1, 0, 4, 4}, std::vector<std::int64_t>{}, many}) {
    const auto gather = [&](const std::vector<Tensor>& in) { return std::vector{ops::gather_rows(in[0], indices)}; };
    EXPECT_TRUE(test::same_on_devices(gather, {test::random_normal({31, 5}, 1)}, {.gradients_of = {0}}));
  }
  const std::vector<std::int64_t> some{2, 0};
  const auto of_window = [&](const std::vector<Tensor>& in) {
    return std::vector{ops::gather_rows(Tensor::alias(in[0], {3, 4}, {9, 1}, 2), some)};
  };
  EXPECT_TRUE(test::same_on_devices(of_window, {test::random_normal({3, 9}, 1)}));
}

}  // namespace
}  // namespace visage
