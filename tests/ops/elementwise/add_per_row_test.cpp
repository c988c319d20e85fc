#include "ops/elementwise/add_per_row.h"

#include "autograd/tape.h"
#include "tensor/error.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

TEST(AddPerRow, AddsTheShiftOfTheRow) {
  test::for_each_device([](Device device) {
    for (const Dims& size : {Dims{2, 3, 8}, Dims{5, 7}, Dims{1, 1}, Dims{3, 1030}, Dims{0, 4}}) {
      SCOPED_TRACE(testing::Message() << size);
      const Tensor x = test::random_normal(size, 1);
      const std::int64_t rows = x.numel() / size[-1];
      const Tensor shift = test::random_normal({rows}, 2);
      const auto before = test::values_of(x), shifts = test::values_of(shift);
      const Tensor there = test::converted(test::on(x, device), DType::f32);
      ops::add_per_row(there, test::on(shift, device));
      const auto after = test::values_of(there);
      for (std::size_t i = 0; i < after.size(); ++i)
        EXPECT_EQ(after[i], static_cast<float>(before[i]) + static_cast<float>(shifts[i / size[-1]])) << i;
    }
  });
}

TEST(AddPerRow, RefusesWhatDoesNotFit) {
  const Tensor x = test::random_normal({2, 3}, 1);
  EXPECT_THROW(ops::add_per_row(x, test::random_normal({3}, 2)), ShapeError);
  EXPECT_THROW(ops::add_per_row(x, test::random_normal({2}, 2, DType::bf16)), DTypeError);
  autograd::set_requires_grad(x);
  const autograd::Tape tape;
  EXPECT_THROW(ops::add_per_row(x, test::random_normal({2}, 2)), AutogradError);
}

}  // namespace
}  // namespace visage
