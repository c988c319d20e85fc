#include "ops/shape/gather_rows.h"

#include "tests/support/gradcheck.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace visage
