#include "ops/assign/hungarian.h"

#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

namespace visage::ops {
namespace {

using Matrix = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Best total over every way to give the rows of a matrix with rows <= columns different columns.
double brute_force(const Matrix& cost, int rows, int columns, Objective objective) {
  const double sign = objective == Objective::minimise ? 1 : -1;
  std::vector<int> order(columns);
  std::iota(order.begin(), order.end(), 0);
  double best = kInfinity;
  do {
    double total = 0;
    for (int row = 0; row < rows; ++row) total += sign * cost[row * columns + order[row]];
    best = std::min(best, total);
  } while (std::next_permutation(order.begin(), order.end()));
  return sign * best;
}

Matrix transposed(const Matrix& cost, int rows, int columns) {
  Matrix result(cost.size());
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) result[column * rows + row] = cost[row * columns + column];
  return result;
}

/// Every column used at most once, min(rows, columns) pairs, and the total is that of the pairs.
void expect_valid(const Assignment& result, const Matrix& cost, std::int64_t rows, std::int64_t columns) {
  ASSERT_EQ(static_cast<std::int64_t>(result.column_of_row.size()), rows);
  std::set<int> used;
  double total = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const int column = result.column_of_row[row];
    if (column < 0) continue;
    ASSERT_LT(column, columns);
    EXPECT_TRUE(used.insert(column).second) << "column " << column << " given twice";
    total += cost[row * columns + column];
  }
  EXPECT_EQ(static_cast<std::int64_t>(used.size()), std::min(rows, columns));
  EXPECT_DOUBLE_EQ(result.total, total);
}

TEST(Assign, KnownMatrix) {
  const Matrix cost = {4, 1, 3,  //
                       2, 0, 5,  //
                       3, 2, 2};
  const Assignment least = assign(cost, 3, 3);
  EXPECT_EQ(least.column_of_row, (std::vector<int>{1, 0, 2}));
  EXPECT_EQ(least.total, 5);
  const Assignment greatest = assign(cost, 3, 3, Objective::maximise);
  EXPECT_EQ(greatest.column_of_row, (std::vector<int>{0, 2, 1}));
  EXPECT_EQ(greatest.total, 11);
}

TEST(Assign, EqualsBruteForce) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 300; ++trial) {
    const int columns = 1 + static_cast<int>(random() % 6), rows = 1 + static_cast<int>(random() % columns);
    // A small range of integers makes ties, a wide one makes long augmenting paths.
    std::uniform_int_distribution<int> value(-3, trial % 2 ? 3 : 1000);
    Matrix cost(rows * columns);
    for (double& entry : cost) entry = value(random);
    for (const Objective objective : {Objective::minimise, Objective::maximise}) {
      const double best = brute_force(cost, rows, columns, objective);
      const Assignment wide = assign(cost, rows, columns, objective);
      expect_valid(wide, cost, rows, columns);
      EXPECT_EQ(wide.total, best);
      const Matrix tall = transposed(cost, rows, columns);
      const Assignment narrow = assign(tall, columns, rows, objective);
      expect_valid(narrow, tall, columns, rows);
      EXPECT_EQ(narrow.total, best);
    }
  }
}

TEST(Assign, TiesGoToTheLowestFreeColumn) {
  const Matrix constant(16, 2.5);
  EXPECT_EQ(assign(constant, 4, 4).column_of_row, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(assign(constant, 2, 8).column_of_row, (std::vector<int>{0, 1}));
  EXPECT_EQ(assign(constant, 8, 2).column_of_row, (std::vector<int>{0, 1, -1, -1, -1, -1, -1, -1}));
  EXPECT_EQ(assign(constant, 4, 4).total, 10);
}

TEST(Assign, SmallestSizes) {
  EXPECT_EQ(assign(Matrix{-7}, 1, 1).column_of_row, std::vector<int>{0});
  EXPECT_EQ(assign(Matrix{-7}, 1, 1, Objective::maximise).total, -7);
  EXPECT_TRUE(assign(Matrix{}, 0, 5).column_of_row.empty());
  const Assignment no_columns = assign(Matrix{}, 3, 0);
  EXPECT_EQ(no_columns.column_of_row, (std::vector<int>{-1, -1, -1}));
  EXPECT_EQ(no_columns.total, 0);
  EXPECT_THROW((void)assign(Matrix{1, 2, 3}, 2, 2), ShapeError);
  EXPECT_THROW((void)assign(Matrix{}, -1, 0), ShapeError);
}

TEST(Assign, ForbiddenPairsAreAvoided) {
  const double x = kInfinity;
  const Matrix cost = {x, 1, 9,  //
                       x, 2, 3,  //
                       8, 0, x};
  const Assignment result = assign(cost, 3, 3);
  EXPECT_EQ(result.column_of_row, (std::vector<int>{1, 2, 0}));
  EXPECT_EQ(result.total, 12);
  Matrix negated = cost;
  for (double& entry : negated) entry = -entry;
  EXPECT_EQ(assign(negated, 3, 3, Objective::maximise).column_of_row, result.column_of_row);
}

TEST(Assign, RefusesWhatHasNoAnswer) {
  const double x = kInfinity;
  EXPECT_THROW((void)assign(Matrix{1, std::nan(""), 2, 3}, 2, 2), Error);
  EXPECT_THROW((void)assign(Matrix{1, -x, 2, 3}, 2, 2), Error);
  EXPECT_THROW((void)assign(Matrix{1, x, 2, 3}, 2, 2, Objective::maximise), Error);
  EXPECT_THROW((void)assign(Matrix{1, 1e301, 2, 3}, 2, 2), Error);
  EXPECT_THROW((void)assign(Matrix{x, x, 2, 3}, 2, 2), Error);
  // Two rows that both need column 0, and the same seen from the other side.
  EXPECT_THROW((void)assign(Matrix{1, x, x, 2, x, x}, 2, 3), Error);
  EXPECT_THROW((void)assign(Matrix{1, 2, x, x, x, x}, 3, 2), Error);
  try {
    (void)assign(Matrix{1, 2, std::nan(""), 3}, 2, 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("row 1, column 0"), std::string::npos) << error.what();
  }
}

TEST(Assign, TensorsAndFloats) {
  const float cost[] = {0.5f, 0.25f, 0.75f, 0.125f};
  const Assignment result = assign(Tensor::from({2, 2}, cost), Objective::maximise);
  EXPECT_EQ(result.column_of_row, (std::vector<int>{1, 0}));
  EXPECT_EQ(result.total, 1.0);
  EXPECT_THROW((void)assign(Tensor::zeros({2, 2}, DType::i64)), DTypeError);
  EXPECT_THROW((void)assign(Tensor::zeros({2, 2, 2})), ShapeError);
  EXPECT_THROW((void)assign(Tensor{}), ShapeError);
}

TEST(AssignGolden, TotalsAreThoseRecorded) {
  const test::GoldenFile golden("ops.safetensors");
  int cases = 0;
  for (const std::string& name : golden.names("lsa/")) {
    const std::string base = name.substr(0, name.rfind('/'));
    if (name != base + "/cost") continue;
    SCOPED_TRACE(base);
    ++cases;
    const Tensor cost = golden.load(name);
    const Matrix entries(cost.data<double>(), cost.data<double>() + cost.numel());
    for (const Objective objective : {Objective::minimise, Objective::maximise}) {
      const Assignment result = assign(cost, objective);
      expect_valid(result, entries, cost.size(0), cost.size(1));
      const double want =
          *golden.load(base + (objective == Objective::minimise ? "/min_total" : "/max_total")).data<double>();
      EXPECT_NEAR(result.total, want, 1e-12 * std::abs(want) + 1e-300);
    }
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace visage::ops
