#include "visage/tracking/association.h"

#include "ops/assign/hungarian.h"
#include "ops/linear/linear.h"
#include "tensor/error.h"
#include "visage/tracking/rows.h"

#include <algorithm>
#include <cmath>

namespace visage::tracking {

Tensor bi_softmax(const Tensor& detections, const Tensor& tracks) {
  const Tensor products = ops::linear(detections, tracks, {});
  const std::int64_t rows = products.size(0), columns = products.size(1);
  const float* s = products.data<float>();
  check(std::all_of(s, s + products.numel(), [](float product) { return std::isfinite(product); }),
        "tracker: products of embeddings exceed f32; check the weights and the input");
  Tensor match = Tensor::zeros(products.size());
  float* f = match.data<float>();
  // Adds half the softmax of `count` entries that are `step` apart.
  const auto add_softmax = [&](std::int64_t first, std::int64_t count, std::int64_t step) {
    float most = s[first];
    for (std::int64_t i = 1; i < count; ++i) most = std::max(most, s[first + i * step]);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += std::exp(s[first + i * step] - most);
    for (std::int64_t i = 0; i < count; ++i)
      f[first + i * step] += static_cast<float>(0.5 * std::exp(s[first + i * step] - most) / sum);
  };
  for (std::int64_t row = 0; row < rows; ++row) add_softmax(row * columns, columns, 1);
  for (std::int64_t column = 0; column < columns; ++column) add_softmax(column, rows, columns);
  return match;
}

std::vector<int> assign_greedily(const Tensor& match, double least, std::span<const double> weight) {
  const std::int64_t rows = match.size(0), columns = match.size(1);
  std::vector<int> column_of_row(static_cast<std::size_t>(rows), -1);
  std::vector<char> taken(static_cast<std::size_t>(columns));
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* value = match.data<float>() + row * columns;
    int& best = column_of_row[row];
    for (int column = 0; column < static_cast<int>(columns); ++column) {
      if (taken[column] || !(value[column] > least)) continue;
      if (best < 0 || value[column] * weight[column] > value[best] * weight[best]) best = column;
    }
    if (best >= 0) taken[best] = 1;
  }
  return column_of_row;
}

std::vector<int> assign_optimally(const Tensor& match, double least) {
  std::vector<int> column_of_row = ops::assign(match, ops::Objective::maximise).column_of_row;
  for (std::int64_t row = 0; row < match.size(0); ++row) {
    int& column = column_of_row[row];
    if (column >= 0 && !(row_of(match, row)[column] > least)) column = -1;
  }
  return column_of_row;
}

}  // namespace visage::tracking
