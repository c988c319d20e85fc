#include "ops/assign/hungarian.h"

#include "autograd/tape.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

constexpr double kForbidden = std::numeric_limits<double>::infinity();
constexpr double kLargestEntry = 1e300;

/// Minimises over a matrix with at most as many rows as columns.
class Solver {
 public:
  Solver(std::vector<double> cost, int rows, int columns)
      : cost_(std::move(cost)),
        rows_(rows),
        columns_(columns),
        row_dual_(rows),
        column_dual_(columns, 0.0),
        column_of_row_(rows, -1),
        row_of_column_(columns, -1),
        distance_(columns),
        predecessor_(columns),
        scanned_(columns) {}

  const std::vector<int>& solve() {
    take_best_columns();
    for (int row = 0; row < rows_; ++row) {
      if (column_of_row_[row] < 0) augment(row);
    }
    return column_of_row_;
  }

 private:
  const double* row_of_costs(int row) const { return cost_.data() + static_cast<std::size_t>(row) * columns_; }

  /// Row duals = row minima and column duals = 0 are feasible, and keep every free column at 0 as the rectangular
  /// problem demands (column reduction would not).
  void take_best_columns() {
    for (int row = 0; row < rows_; ++row) {
      const double* costs = row_of_costs(row);
      const double least = *std::min_element(costs, costs + columns_);
      check<NonFiniteError>(least < kForbidden,
                            "assign: no assignment avoids the forbidden pairs; all of one line are forbidden");
      row_dual_[row] = least;
      for (int column = 0; column < columns_; ++column) {
        if (costs[column] == least && row_of_column_[column] < 0) {
          match(row, column);
          break;
        }
      }
    }
  }

  /// Relaxes the reduced costs of `row`, at distance `reached`, and returns the nearest column not yet scanned.
  int relax(int row, double reached) {
    const double* costs = row_of_costs(row);
    const double offset = reached - row_dual_[row];
    int nearest = -1;
    for (int column = 0; column < columns_; ++column) {
      if (scanned_[column]) continue;
      const double candidate = costs[column] - column_dual_[column] + offset;
      if (candidate < distance_[column]) {
        distance_[column] = candidate;
        predecessor_[column] = row;
      }
      const bool closer =
          nearest < 0 || distance_[column] < distance_[nearest] ||
          (distance_[column] == distance_[nearest] && row_of_column_[column] < 0 && row_of_column_[nearest] >= 0);
      if (closer) nearest = column;
    }
    return nearest;
  }

  /// Dijkstra over reduced costs from a free row to the nearest free column, then one more match along that path.
  void augment(int source) {
    std::fill(distance_.begin(), distance_.end(), kForbidden);
    std::fill(scanned_.begin(), scanned_.end(), char{0});
    double reached = 0;
    int row = source, sink = -1;
    while (sink < 0) {
      const int column = relax(row, reached);
      check<NonFiniteError>(column >= 0 && distance_[column] < kForbidden,
                            "assign: no assignment avoids the forbidden pairs");
      scanned_[column] = 1;
      reached = distance_[column];
      row = row_of_column_[column];
      if (row < 0) sink = column;
    }
    row_dual_[source] += reached;
    for (int column = 0; column < columns_; ++column) {
      if (!scanned_[column] || column == sink) continue;
      const double slack = reached - distance_[column];
      column_dual_[column] -= slack;
      row_dual_[row_of_column_[column]] += slack;
    }
    for (int column = sink; column >= 0;) {
      row = predecessor_[column];
      const int next = column_of_row_[row];
      match(row, column);
      column = next;
    }
  }

  void match(int row, int column) {
    column_of_row_[row] = column;
    row_of_column_[column] = row;
  }

  std::vector<double> cost_;
  int rows_, columns_;
  std::vector<double> row_dual_, column_dual_;
  std::vector<int> column_of_row_, row_of_column_;
  std::vector<double> distance_;
  std::vector<int> predecessor_;
  std::vector<char> scanned_;
};

/// The matrix to minimise, transposed if it has more rows than columns.
template <class T>
std::vector<double> problem(std::span<const T> cost, std::int64_t rows, std::int64_t columns, Objective objective) {
  const double sign = objective == Objective::minimise ? 1 : -1;
  const bool transpose = rows > columns;
  std::vector<double> matrix(cost.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const double entry = cost[row * columns + column];
      const double value = sign * entry;
      check<NonFiniteError>(
          std::abs(value) <= kLargestEntry || value == kForbidden, "assign: row ", row, ", column ", column, " is ",
          entry, "; entries must be numbers, at most 1e300 in magnitude, or the infinity that forbids a pair");
      matrix[transpose ? column * rows + row : row * columns + column] = value;
    }
  }
  return matrix;
}

template <class T>
Assignment assign_entries(std::span<const T> cost, std::int64_t rows, std::int64_t columns, Objective objective) {
  constexpr std::int64_t largest = std::numeric_limits<int>::max();
  check<ShapeError>(rows >= 0 && columns >= 0 && rows <= largest && columns <= largest &&
                        static_cast<std::int64_t>(cost.size()) == rows * columns,
                    "assign: cost must be [rows, columns]; got ", cost.size(), " entries for ", rows, " x ", columns);
  Assignment result{.column_of_row = std::vector<int>(rows, -1), .total = 0};
  if (rows == 0 || columns == 0) return result;
  const bool transpose = rows > columns;
  Solver solver(problem(cost, rows, columns, objective), static_cast<int>(std::min(rows, columns)),
                static_cast<int>(std::max(rows, columns)));
  const std::vector<int>& long_of_short = solver.solve();
  for (int i = 0; i < static_cast<int>(long_of_short.size()); ++i) {
    if (transpose)
      result.column_of_row[long_of_short[i]] = i;
    else
      result.column_of_row[i] = long_of_short[i];
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const int column = result.column_of_row[row];
    if (column >= 0) result.total += static_cast<double>(cost[row * columns + column]);
  }
  return result;
}

}  // namespace

Assignment assign(std::span<const float> cost, std::int64_t rows, std::int64_t columns, Objective objective) {
  return assign_entries(cost, rows, columns, objective);
}

Assignment assign(std::span<const double> cost, std::int64_t rows, std::int64_t columns, Objective objective) {
  return assign_entries(cost, rows, columns, objective);
}

Assignment assign(const Tensor& cost, Objective objective) {
  check<ShapeError>(cost && cost.rank() == 2 && cost.is_contiguous(),
                    "assign: cost must be contiguous [rows, columns]; got ", cost ? cost.size() : Dims{});
  check<DTypeError>(cost.dtype() == DType::f32 || cost.dtype() == DType::f64, "assign: cost must be f32 or f64; got ",
                    cost.dtype());
  check<DeviceError>(cost.device().type == DeviceType::cpu, "assign: cost must be on the CPU");
  autograd::not_differentiable("assign", {cost});
  const std::size_t count = static_cast<std::size_t>(cost.numel());
  if (cost.dtype() == DType::f32)
    return assign(std::span<const float>(cost.data<float>(), count), cost.size(0), cost.size(1), objective);
  return assign(std::span<const double>(cost.data<double>(), count), cost.size(0), cost.size(1), objective);
}

}  // namespace visage::ops
