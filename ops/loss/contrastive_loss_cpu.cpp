// Some ten instances a frame: n x n tables in f64 on one thread.
#include "ops/loss/loss_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops {
namespace {

using Table = std::vector<double>;  // [n,n] or [n,C]

double dot(const float* a, const float* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// k_i . r_j
Table products(const EmbeddingPair& pair) {
  Table table(pair.count * pair.count);
  for (std::int64_t i = 0; i < pair.count; ++i)
    for (std::int64_t j = 0; j < pair.count; ++j)
      table[i * pair.count + j] = dot(pair.key[i], pair.reference[j], pair.channels);
  return table;
}

/// max(|x|, 1e-12) of each row
Table norms(const float* const* rows, const EmbeddingPair& pair) {
  Table result(pair.count);
  for (std::int64_t i = 0; i < pair.count; ++i)
    result[i] = std::max(std::sqrt(dot(rows[i], rows[i], pair.channels)), 1e-12);
  return result;
}

/// to += factor * from
void add_row(double factor, const float* from, std::int64_t channels, double* to) {
  for (std::int64_t c = 0; c < channels; ++c) to[c] += factor * static_cast<double>(from[c]);
}

/// gradient[i] += sum_j slope(i, j) * other[j] + own(i) * self[i]
template <class Slope, class Own>
void add_rows(const EmbeddingPair& pair, const float* const* self, const float* const* other, Slope&& slope, Own&& own,
              float* const* gradient) {
  Table row(pair.channels);
  for (std::int64_t i = 0; i < pair.count; ++i) {
    std::fill(row.begin(), row.end(), 0.);
    for (std::int64_t j = 0; j < pair.count; ++j) add_row(slope(i, j), other[j], pair.channels, row.data());
    add_row(own(i), self[i], pair.channels, row.data());
    for (std::int64_t c = 0; c < pair.channels; ++c) gradient[i][c] += static_cast<float>(row[c]);
  }
}

/// log(sum_j exp(row[j]))
double log_sum_exp(const double* row, std::int64_t count) {
  const double shift = *std::max_element(row, row + count);
  double sum = 0;
  for (std::int64_t j = 0; j < count; ++j) sum += std::exp(row[j] - shift);
  return shift + std::log(sum);
}

}  // namespace

double contrastive_sum_cpu(const EmbeddingPair& pair) {
  const Table d = products(pair);
  double sum = 0;
  for (std::int64_t i = 0; i < pair.count; ++i)
    sum += log_sum_exp(d.data() + i * pair.count, pair.count) - d[i * pair.count + i];
  return sum;
}

// With s the softmax of the rows of d: d sum / d d_ij = s_ij - [i = j].
void contrastive_backward_cpu(const EmbeddingPair& pair, double factor, float* const* gkey, float* const* greference) {
  const std::int64_t n = pair.count;
  Table slope = products(pair);
  for (std::int64_t i = 0; i < n; ++i) {
    const double lse = log_sum_exp(slope.data() + i * n, n);
    for (std::int64_t j = 0; j < n; ++j) slope[i * n + j] = factor * (std::exp(slope[i * n + j] - lse) - (i == j));
  }
  const auto none = [](std::int64_t) { return 0.; };
  const auto by_key = [&](std::int64_t i, std::int64_t j) { return slope[i * n + j]; };
  const auto by_reference = [&](std::int64_t j, std::int64_t i) { return slope[i * n + j]; };
  if (gkey) add_rows(pair, pair.key, pair.reference, by_key, none, gkey);
  if (greference) add_rows(pair, pair.reference, pair.key, by_reference, none, greference);
}

double cosine_sum_cpu(const EmbeddingPair& pair) {
  const std::int64_t n = pair.count;
  const Table d = products(pair), key = norms(pair.key, pair), reference = norms(pair.reference, pair);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double error = d[i * n + j] / (key[i] * reference[j]) - (i == j);
      sum += error * error / static_cast<double>(n);
    }
  return sum;
}

// With e_ij = d sum / d cos_ij = 2 (cos_ij - [i = j]) / n:
//   d sum / d k_i = sum_j e_ij (r_j / |r_j| - cos_ij k_i / |k_i|) / |k_i|,   and the same for r_j.
void cosine_backward_cpu(const EmbeddingPair& pair, double factor, float* const* gkey, float* const* greference) {
  const std::int64_t n = pair.count;
  const Table d = products(pair), key = norms(pair.key, pair), reference = norms(pair.reference, pair);
  Table slope(n * n), key_own(n, 0.), reference_own(n, 0.);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double cosine = d[i * n + j] / (key[i] * reference[j]);
      const double e = factor * 2 * (cosine - (i == j)) / static_cast<double>(n);
      slope[i * n + j] = e / (key[i] * reference[j]);
      // Below the bound the norm is a constant.
      if (key[i] > 1e-12) key_own[i] -= e * cosine / (key[i] * key[i]);
      if (reference[j] > 1e-12) reference_own[j] -= e * cosine / (reference[j] * reference[j]);
    }
  const auto by_key = [&](std::int64_t i, std::int64_t j) { return slope[i * n + j]; };
  const auto by_reference = [&](std::int64_t j, std::int64_t i) { return slope[i * n + j]; };
  const auto own_key = [&](std::int64_t i) { return key_own[i]; };
  const auto own_reference = [&](std::int64_t j) { return reference_own[j]; };
  if (gkey) add_rows(pair, pair.key, pair.reference, by_key, own_key, gkey);
  if (greference) add_rows(pair, pair.reference, pair.key, by_reference, own_reference, greference);
}

}  // namespace visage::ops
