#pragma once
// Products of one query with a tile of keys; shared by the portable forward and backward of masked_attention.
#include "ops/simd/vec8.h"
#include "tensor/float16.h"
#include "tensor/view.h"

#include <algorithm>

namespace visage::ops {

inline constexpr std::int64_t kTile = 64;  // keys, one word of the mask

/// Elements [first, first + count) of row (n, row) of x [N,rows,C] as f32.
inline void read_row(const View& x, std::int64_t n, std::int64_t row, std::int64_t first, std::int64_t count,
                     float* to) {
  const std::int64_t at = n * x.stride[0] + row * x.stride[1] + first;
  if (x.dtype == DType::f32)
    std::copy_n(x.as<float>() + at, count, to);
  else
    std::transform(x.as<BFloat16>() + at, x.as<BFloat16>() + at + count, to, [](BFloat16 e) { return float(e); });
}

/// s[0, kTile) += q . keys; keys [dim][kTile].
inline void add_products(const float* q, const float* keys, std::int64_t dim, float* s) {
  constexpr int kVecs = kTile / kVec8;
  Vec8 sum[kVecs];
  for (int v = 0; v < kVecs; ++v) sum[v] = load8(s + v * kVec8);
  for (std::int64_t d = 0; d < dim; ++d)
    for (int v = 0; v < kVecs; ++v) sum[v] += q[d] * load8(keys + d * kTile + v * kVec8);
  for (int v = 0; v < kVecs; ++v) store8(s + v * kVec8, sum[v]);
}

/// out[0, kVecs * kVec8) = keep * out + p . values; two sums hide the latency of the additions.
template <int kVecs>
void add_value_block(const float* p, const float* values, std::int64_t dim, float keep, float* out) {
  Vec8 even[kVecs], odd[kVecs];
  for (int v = 0; v < kVecs; ++v) even[v] = keep * load8(out + v * kVec8);
  for (int v = 0; v < kVecs; ++v) odd[v] = Vec8{};
  for (std::int64_t t = 0; t < kTile; t += 2)
    for (int v = 0; v < kVecs; ++v) {
      even[v] += p[t] * load8(values + t * dim + v * kVec8);
      odd[v] += p[t + 1] * load8(values + (t + 1) * dim + v * kVec8);
    }
  for (int v = 0; v < kVecs; ++v) store8(out + v * kVec8, even[v] + odd[v]);
}

/// out[0, dim) = keep * out + p . values; values [kTile][dim].
inline void add_values(const float* p, const float* values, std::int64_t dim, float keep, float* out) {
  std::int64_t d = 0;
  for (; d + 4 * kVec8 <= dim; d += 4 * kVec8) add_value_block<4>(p, values + d, dim, keep, out + d);
  for (; d + kVec8 <= dim; d += kVec8) add_value_block<1>(p, values + d, dim, keep, out + d);
  for (; d < dim; ++d) {
    out[d] *= keep;
    for (std::int64_t t = 0; t < kTile; ++t) out[d] += p[t] * values[t * dim + d];
  }
}

}  // namespace visage::ops
