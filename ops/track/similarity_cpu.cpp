#include "ops/track/similarity_kernels.h"

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

std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

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

/// The rows of x at unit length, followed by rows of zeros up to a multiple of `multiple` rows.
std::vector<float> unit_rows(const View& x, std::int64_t multiple) {
  const std::int64_t rows = x.size[0], depth = x.size[1];
  std::vector<float> result(static_cast<std::size_t>(round_up(rows, multiple) * depth));
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x.as<float>() + row * depth;
    const double scale = inverse_norm(from, depth);
    for (std::int64_t d = 0; d < depth; ++d) result[row * depth + d] = static_cast<float>(from[d] * scale);
  }
  return result;
}

/// Rows in groups of kTileColumns, each group as [depth][kTileColumns].
std::vector<float> interleaved(const std::vector<float>& rows, std::int64_t depth) {
  std::vector<float> result(rows.size());
  const std::int64_t group = kTileColumns * depth;
  for (std::int64_t start = 0; start < static_cast<std::int64_t>(rows.size()); start += group) {
    const float* from = rows.data() + start;
    float* to = result.data() + start;
    for (std::int64_t d = 0; d < depth; ++d)
      for (std::int64_t row = 0; row < kTileColumns; ++row) to[d * kTileColumns + row] = from[row * depth + d];
  }
  return result;
}

Lanes load(const float* from) { return *reinterpret_cast<const UnalignedLanes*>(from); }

/// tile[i][j] = <a_i, b_j> for kTileRows rows of a, row-major, and kTileColumns interleaved rows of b.
void multiply_tile(const float* a, const float* b, std::int64_t depth, float (*tile)[kTileColumns]) {
  Lanes sum[kTileRows][2] = {};
  for (std::int64_t d = 0; d < depth; ++d) {
    const Lanes low = load(b + d * kTileColumns), high = load(b + d * kTileColumns + kLanes);
    for (std::int64_t row = 0; row < kTileRows; ++row) {
      const float value = a[row * depth + d];
      sum[row][0] += value * low;
      sum[row][1] += value * high;
    }
  }
  std::memcpy(tile, sum, sizeof(sum));
}

}  // namespace

void cosine_cpu(const CosineArgs& args) {
  const std::int64_t rows = args.a.size[0], columns = args.b.size[0], depth = args.a.size[1];
  const std::vector<float> a = unit_rows(args.a, kTileRows);
  const std::vector<float> b = interleaved(unit_rows(args.b, kTileColumns), depth);
  float tile[kTileRows][kTileColumns];
  for (std::int64_t column = 0; column < columns; column += kTileColumns) {
    for (std::int64_t row = 0; row < rows; row += kTileRows) {
      multiply_tile(a.data() + row * depth, b.data() + column * depth, depth, tile);
      for (std::int64_t i = 0; i < std::min(kTileRows, rows - row); ++i) {
        float* out = args.out.as<float>() + (row + i) * columns + column;
        for (std::int64_t j = 0; j < std::min(kTileColumns, columns - column); ++j)
          out[j] = args.weight * tile[i][j] + (args.beta == 0 ? 0.f : args.beta * out[j]);
      }
    }
  }
}

}  // namespace visage::ops
