#pragma once
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

enum class Objective { minimise, maximise };

struct Assignment {
  std::vector<int> column_of_row;  // -1 where a row stays without a column (more rows than columns)
  double total = 0;                // sum of the chosen entries
};

/// Linear sum assignment: pairs each row with a column of its own, min(rows, columns) pairs in all, such that the sum
/// of the chosen entries is the least (or the greatest) possible. Exact; O(min(r,c)^2 max(r,c)) at worst.
///
/// `cost` is row-major [rows, columns]. Duals are f64 whatever the entries are. Pairs that cost +inf when minimising
/// (-inf when maximising) are never chosen. Every row first takes the best column of its row if that is free, which
/// solves the matrices of a tracker almost completely; the rows left over are joined by shortest augmenting paths
/// (Jonker & Volgenant 1987; the rectangular form follows Crouse, IEEE TAES 2016).
///
/// Ties: rows are served in order; among columns at the same distance a free one comes first, then the lowest index. So
/// the result is a function of the matrix alone and a constant matrix gives the identity, but where several optima
/// exist another solver may return another one of the same total.
///
/// throws ShapeError if the sizes do not fit, NonFiniteError for a NaN, for an infinity of the other sign, for a finite
/// entry beyond 1e300 in magnitude (sums would overflow) and when no assignment avoids the forbidden pairs.
[[nodiscard]] Assignment assign(std::span<const float> cost, std::int64_t rows, std::int64_t columns,
                                Objective objective = Objective::minimise);
[[nodiscard]] Assignment assign(std::span<const double> cost, std::int64_t rows, std::int64_t columns,
                                Objective objective = Objective::minimise);
/// cost f32 or f64 [rows, columns], contiguous, on the CPU. Not differentiable.
[[nodiscard]] Assignment assign(const Tensor& cost, Objective objective = Objective::minimise);

}  // namespace visage::ops
