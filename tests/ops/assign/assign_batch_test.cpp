#include "ops/assign/assign_batch.h"

#include "tests/support/devices.h"
#include "tests/support/files.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

namespace visage::ops {
namespace {

using test::for_each_device;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Problems {
  std::int64_t count, rows, columns;
};

/// Entry as a function of problem, row and column.
using Entry = std::function<double(std::int64_t, std::int64_t, std::int64_t)>;

Tensor costs(const Problems& p, const Entry& entry, DType dtype = DType::f32) {
  std::vector<double> values;
  for (std::int64_t b = 0; b < p.count; ++b)
    for (std::int64_t row = 0; row < p.rows; ++row)
      for (std::int64_t column = 0; column < p.columns; ++column) values.push_back(entry(b, row, column));
  return test::tensor_of({p.count, p.rows, p.columns}, values, dtype);
}

/// What assign() says about the problem, its rows all -1 if it refuses.
std::vector<double> expected(const Tensor& cost, std::int64_t problem, std::int64_t columns, Objective objective,
                             bool& refused) {
  const std::int64_t rows = cost.size(1), stride = cost.size(2);
  const std::vector<double> values = test::values_of(cost);
  std::vector<double> own;
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t column = 0; column < columns; ++column)
      own.push_back(values[(problem * rows + row) * stride + column]);
  refused = false;
  try {
    const Assignment best = assign(own, rows, columns, objective);
    return {best.column_of_row.begin(), best.column_of_row.end()};
  } catch (const NonFiniteError&) {
    refused = true;
    return std::vector<double>(rows, -1.);
  }
}

/// Every problem of the batch has exactly the pairs that assign() finds.
void expect_as_assign(const Tensor& cost, Objective objective = Objective::minimise,
                      const std::vector<double>& columns = {}) {
  SCOPED_TRACE(testing::Message() << cost.size() << ' ' << name_of(cost.dtype()));
  for_each_device([&](Device device) {
    const Tensor counts = columns.empty() ? Tensor{} : test::tensor_of({cost.size(0)}, columns, DType::i64);
    const AssignmentBatch got =
        assign_batch(test::on(cost, device), counts ? test::on(counts, device) : Tensor{}, objective);
    const auto pairs = test::values_of(got.column_of_row), failed = test::values_of(got.failed);
    const auto rows_of = test::values_of(got.row_of_column);
    for (std::int64_t b = 0; b < cost.size(0); ++b) {
      bool refused = false;
      const auto count = columns.empty() ? cost.size(2) : static_cast<std::int64_t>(columns[b]);
      const auto want = expected(cost, b, count, objective, refused);
      const auto* first = pairs.data() + b * cost.size(1);
      EXPECT_EQ(std::vector<double>(first, first + cost.size(1)), want) << "problem " << b;
      std::vector<double> inverse(cost.size(2), -1.);
      for (std::size_t row = 0; row < want.size(); ++row)
        if (want[row] >= 0) inverse[static_cast<std::size_t>(want[row])] = static_cast<double>(row);
      const auto* inverse_first = rows_of.data() + b * cost.size(2);
      EXPECT_EQ(std::vector<double>(inverse_first, inverse_first + cost.size(2)), inverse) << "problem " << b;
      EXPECT_EQ(failed[b], refused) << "problem " << b;
    }
  });
}

TEST(AssignBatch, FindsThePairsOfAssign) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(-1, 1);
  const auto noise = [&](auto...) { return uniform(random); };
  for (const Problems& p : {Problems{40, 6, 6}, Problems{20, 3, 9}, Problems{20, 9, 4}, Problems{3, 1, 1},
                            Problems{2, 40, 100}, Problems{2, 100, 33}, Problems{1, 128, 128}}) {
    expect_as_assign(costs(p, noise));
    expect_as_assign(costs(p, noise), Objective::maximise);
  }
  expect_as_assign(costs({4, 12, 20}, noise, DType::f64));
}

TEST(AssignBatch, BreaksTiesAsAssignDoes) {
  std::mt19937 random(5);
  for (const int range : {1, 2, 3, 10}) {  // a range of 1: a constant matrix
    const auto integers = [&](auto...) { return static_cast<double>(static_cast<int>(random() % range) - range / 2); };
    for (const Problems& p : {Problems{30, 5, 5}, Problems{20, 4, 7}, Problems{20, 7, 4}, Problems{1, 40, 40}}) {
      expect_as_assign(costs(p, integers));
      expect_as_assign(costs(p, integers), Objective::maximise);
    }
  }
  // Equal rows, equal columns, and zeros of both signs.
  expect_as_assign(costs({1, 9, 9}, [](auto, auto, auto column) { return static_cast<double>(column % 4); }));
  expect_as_assign(costs({1, 9, 9}, [](auto, auto row, auto) { return static_cast<double>(row % 4); }));
  expect_as_assign(costs({1, 9, 9}, [](auto, auto row, auto column) { return (row + column) % 2 ? 0. : -0.; }));
}

TEST(AssignBatch, LongAugmentingPathsAndWideRanges) {
  // Every row prefers the columns in the same order, so that each new row moves all earlier ones.
  const auto product = [](auto, auto row, auto column) { return static_cast<double>((row + 1) * (column + 1)); };
  expect_as_assign(costs({1, 30, 30}, product));
  expect_as_assign(costs({1, 30, 40}, product), Objective::maximise);
  std::mt19937 random(7);
  const auto magnitudes = [&](auto...) {
    return std::ldexp(static_cast<double>(random() % 1000) / 1000, static_cast<int>(random() % 200) - 100);
  };
  expect_as_assign(costs({10, 8, 8}, magnitudes));
  expect_as_assign(costs(
      {4, 8, 8}, [&](auto...) { return 1e299 * magnitudes() / std::ldexp(1, 99); }, DType::f64));
  expect_as_assign(costs({4, 8, 8}, [&](auto...) { return 1e-40 * static_cast<double>(random() % 9); }));
}

TEST(AssignBatch, MarksWhatAssignRefusesAndSolvesTheRest) {
  const float largest = std::numeric_limits<float>::max();
  for (const double special : {kInfinity, -kInfinity, std::nan(""), 0., static_cast<double>(largest)}) {
    std::mt19937 random(11);
    const auto some = [&](auto...) { return random() % 3 == 0 ? special : static_cast<double>(random() % 5); };
    for (const Problems& p : {Problems{20, 4, 4}, Problems{20, 3, 6}, Problems{20, 6, 3}}) {
      expect_as_assign(costs(p, some));
      expect_as_assign(costs(p, some), Objective::maximise);
    }
  }
  expect_as_assign(costs(
      {2, 2, 2}, [](auto problem, auto...) { return problem ? 1e301 : 1e300; }, DType::f64));
  for_each_device([](Device device) {
    const Tensor cost = costs({3, 2, 2}, [](auto problem, auto...) { return problem == 1 ? std::nan("") : 1.; });
    const AssignmentBatch got = assign_batch(test::on(cost, device));
    EXPECT_EQ(test::message_of<NonFiniteError>([&] { got.check(); }),
              "assign_batch: problem 1 has an entry that is not a number, or no assignment that avoids its forbidden "
              "pairs");
    assign_batch(test::on(costs({3, 2, 2}, [](auto...) { return 0.; }), device)).check();
  });
}

TEST(AssignBatch, ProblemsOfDifferentNumbersOfColumns) {
  std::mt19937 random(13);
  const auto noise = [&](auto...) { return static_cast<double>(random() % 1000); };
  expect_as_assign(costs({6, 5, 8}, noise), Objective::minimise, {0, 1, 4, 5, 6, 8});
  expect_as_assign(costs({4, 9, 4}, noise), Objective::maximise, {0, 4, 1, 3});
  // What lies beyond does not count.
  const auto beyond = [&](auto, auto, auto column) { return column < 2 ? noise() : std::nan(""); };
  expect_as_assign(costs({2, 3, 4}, beyond), Objective::minimise, {2, 1});
  for_each_device([](Device device) {
    const Tensor cost = test::on(Tensor::zeros({3, 2, 2}), device);
    const Tensor columns = test::on(test::tensor_of({3}, std::vector<double>{-1, 2, 3}, DType::i64), device);
    const AssignmentBatch got = assign_batch(cost, columns);
    EXPECT_EQ(test::values_of(got.failed), (std::vector<double>{1, 0, 1}));
    EXPECT_EQ(test::values_of(got.column_of_row), (std::vector<double>{-1, -1, 0, 1, -1, -1}));
  });
}

TEST(AssignBatch, MoreThanAWarpHolds) {
  std::mt19937 random(17);
  const auto noise = [&](auto...) { return static_cast<double>(random() % 100000); };
  expect_as_assign(costs({2, 5, 300}, noise));
  expect_as_assign(costs({2, 140, 6}, noise), Objective::maximise, {6, 3});
  expect_as_assign(costs({1, 9, 130}, [&](auto...) { return static_cast<double>(random() % 3); }));
  // Paths of several steps: every row prefers the columns in the same order.
  expect_as_assign(
      costs({1, 5, 130}, [](auto, auto row, auto column) { return static_cast<double>((row + 1) * (column + 1)); }));
  expect_as_assign(costs(
      {2, 3, 130}, [](auto problem, auto...) { return problem ? kInfinity : 2.; }, DType::f64));
}

TEST(AssignBatch, EmptyBatchesAndProblems) {
  for (const Problems& p : {Problems{0, 3, 3}, Problems{2, 0, 3}, Problems{2, 3, 0}, Problems{2, 0, 0}})
    expect_as_assign(costs(p, [](auto...) { return 0.; }));
}

TEST(AssignBatch, RefusesPartsThatDoNotFit) {
  const Tensor cost = Tensor::zeros({2, 3, 3});
  EXPECT_THROW((void)assign_batch(Tensor{}), ShapeError);
  EXPECT_THROW((void)assign_batch(Tensor::zeros({3, 3})), ShapeError);
  EXPECT_THROW((void)assign_batch(Tensor::alias(cost, {2, 3, 3}, {9, 1, 3})), ShapeError);
  EXPECT_THROW((void)assign_batch(Tensor::zeros({2, 3, 3}, DType::bf16)), DTypeError);
  EXPECT_THROW((void)assign_batch(cost, Tensor::zeros({3}, DType::i64)), ShapeError);
  EXPECT_THROW((void)assign_batch(cost, Tensor::zeros({2}, DType::i32)), DTypeError);
}

}  // namespace
}  // namespace visage::ops
