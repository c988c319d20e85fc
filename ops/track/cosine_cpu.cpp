#include "ops/track/cosine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace visage::ops {
namespace {

using Lanes = float __attribute__((vector_size(32)));
using UnalignedLanes = float __attribute__((vector_size(32), aligned(4), may_alias));
constexpr std::int64_t kLanes = 8;
// 4 x 16 outputs are eight accumulators, as many as two FMA units of latency four keep busy.
constexpr std::int64_t kTileRows = 4;
constexpr std::int64_t kTileColumns = 2 * kLanes;

/// 1 / |row|, or 0 for a row of zeros. In f64, so that no finite f32 row over- or underflows.
double inverse_norm(const float* row, std::int64_t depth) {
  double partial[kLanes] = {};
  std::int64_t d = 0;
  for (; d + kLanes <= depth; d += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      partial[lane] += static_cast<double>(row[d + lane]) * row[d + lane];
  double sum = 0;
  for (const double part : partial) sum += part;
  for (; d < depth; ++d) sum += static_cast<double>(row[d]) * row[d];
  return sum > 0 ? 1 / std::sqrt(sum) : 0.0;
}

/// Rows first .. first + kTileColumns of x at unit length, as [depth][kTileColumns]; rows past the end are zero.
void unit_panel(const View& x, std::int64_t first, float* panel) {
  const std::int64_t depth = x.size[1];
  for (std::int64_t i = 0; i < kTileColumns; ++i) {
    const bool present = first + i < x.size[0];
    const float* row = x.as<float>() + (present ? first + i : 0) * depth;
    const double scale = present ? inverse_norm(row, depth) : 0;
    for (std::int64_t d = 0; d < depth; ++d) panel[d * kTileColumns + i] = static_cast<float>(row[d] * scale);
  }
}

Lanes load(const float* from) { return *reinterpret_cast<const UnalignedLanes*>(from); }

/// tile[i][j] = <a_i, b_j> for kTileRows rows of a and the rows b of a panel.
void multiply_tile(const float* const* a, const float* panel, std::int64_t depth, float (*tile)[kTileColumns]) {
  Lanes sum[kTileRows][2] = {};
  for (std::int64_t d = 0; d < depth; ++d) {
    const Lanes low = load(panel + d * kTileColumns), high = load(panel + d * kTileColumns + kLanes);
    for (std::int64_t row = 0; row < kTileRows; ++row) {
      sum[row][0] += a[row][d] * low;
      sum[row][1] += a[row][d] * high;
    }
  }
  std::memcpy(tile, sum, sizeof(sum));
}

}  // namespace

void cosine_cpu(const CosineArgs& args) {
  const std::int64_t rows = args.a.size[0], columns = args.b.size[0], depth = args.a.size[1];
  const float* a = args.a.as<float>();
  std::vector<double> scale(rows);
  for (std::int64_t row = 0; row < rows; ++row) scale[row] = args.weight * inverse_norm(a + row * depth, depth);
  std::vector<float> panel(depth * kTileColumns);
  float tile[kTileRows][kTileColumns];
  for (std::int64_t column = 0; column < columns; column += kTileColumns) {
    unit_panel(args.b, column, panel.data());
    for (std::int64_t row = 0; row < rows; row += kTileRows) {
      const float* tile_rows[kTileRows];
      for (std::int64_t i = 0; i < kTileRows; ++i) tile_rows[i] = a + std::min(row + i, rows - 1) * depth;
      multiply_tile(tile_rows, panel.data(), depth, tile);
      for (std::int64_t i = 0; i < std::min(kTileRows, rows - row); ++i) {
        float* out = args.out.as<float>() + (row + i) * columns + column;
        for (std::int64_t j = 0; j < std::min(kTileColumns, columns - column); ++j)
          out[j] = static_cast<float>(scale[row + i] * tile[i][j]) + (args.beta == 0 ? 0.f : args.beta * out[j]);
      }
    }
  }
}

}  // namespace visage::ops
