#include "ops/attention/masked_attention_kernels.h"
#include "ops/attention/tile_products.h"
#include "ops/simd/vec8.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace visage::ops {
namespace {

constexpr float kLowest = -1e30f;  // stands for minus infinity without turning differences into NaN

float highest(const float* s) {
  Vec8 lanes = load8(s);
  for (int t = kVec8; t < kTile; t += kVec8) {
    const Vec8 x = load8(s + t);
    lanes = lanes > x ? lanes : x;
  }
  float result = lanes[0];
  for (int lane = 1; lane < kVec8; ++lane) result = std::max(result, lanes[lane]);
  return result;
}

// s becomes 2^(s - shift); returns the sum.
float exponentiate(float shift, float* s) {
  Vec8 total{};
  for (int t = 0; t < kTile; t += kVec8) {
    const Vec8 e = exp2_nonpositive(load8(s + t) - shift);
    total += e;
    store8(s + t, e);
  }
  return sum8(total);
}

// One head of one image; the running maximum and sum of every query make the softmax a single pass over the keys
// (Milakov and Gimelshein, Online normalizer calculation for softmax).
struct Head {
  const MaskedAttentionArgs& args;
  std::int64_t n, head;
  std::int64_t queries, keys, dim, words;
  std::vector<float> q, top, sum, out;  // [Q,dim], [Q], [Q], [Q,dim]
  std::vector<std::uint64_t> visible;   // [Q,words]
  std::vector<float> k_tile, v_tile;    // [dim,kTile], [kTile,dim]
  static constexpr float kLog2E = 1.44269504f;

  Head(const MaskedAttentionArgs& given, std::int64_t image, std::int64_t index)
      : args(given),
        n(image),
        head(index),
        queries(given.q.size[1]),
        keys(given.k.size[1]),
        dim(given.q.size[2] / given.heads),
        words((keys + kTile - 1) / kTile),
        q(queries * dim),
        top(queries, kLowest),
        sum(queries, 0.f),
        out(queries * dim, 0.f),
        visible(queries * words),
        k_tile(dim * kTile),
        v_tile(kTile * dim) {
    for (std::int64_t i = 0; i < queries; ++i) {
      read_row(args.q, n, i, head * dim, dim, q.data() + i * dim);
      visible_keys_cpu(args, n, i, words, visible.data() + i * words);
    }
    for (float& x : q) x *= args.scale * kLog2E;
  }

  void load_tile(std::int64_t word) {
    const std::int64_t count = std::min(kTile, keys - word * kTile);
    std::vector<float> row(dim);
    for (std::int64_t t = 0; t < kTile; ++t) {
      std::fill(row.begin(), row.end(), 0.f);
      if (t < count) read_row(args.k, n, word * kTile + t, head * dim, dim, row.data());
      for (std::int64_t d = 0; d < dim; ++d) k_tile[d * kTile + t] = row[d];
      if (t < count)
        read_row(args.v, n, word * kTile + t, head * dim, dim, v_tile.data() + t * dim);
      else
        std::fill_n(v_tile.data() + t * dim, dim, 0.f);
    }
  }

  void score(std::int64_t word, std::int64_t i, float* s) const {
    std::fill_n(s, kTile, 0.f);
    if (args.score_y) {
      const std::int64_t height = args.score_y.size[3], width = args.score_x.size[3];
      const std::int64_t row = (n * args.heads + head) * queries + i;
      const float* y = args.score_y.as<float>() + row * height;
      const float* x = args.score_x.as<float>() + row * width;
      for (std::int64_t t = 0, key = word * kTile; t < kTile && key < keys; ++t, ++key)
        s[t] = (y[key / width] + x[key % width]) * args.scale * kLog2E;
    }
    add_products(q.data() + i * dim, k_tile.data(), dim, s);
  }

  void add_tile(std::int64_t word, std::int64_t i) {
    const std::uint64_t seen = visible[i * words + word];
    if (!seen) return;
    float s[kTile];
    score(word, i, s);
    if (~seen)
      for (std::int64_t t = 0; t < kTile; ++t) s[t] = seen >> t & 1 ? s[t] : kLowest;
    const float peak = std::max(top[i], highest(s));
    const float keep = std::exp2(top[i] - peak);
    top[i] = peak;
    sum[i] = keep * sum[i] + exponentiate(peak, s);
    add_values(s, v_tile.data(), dim, keep, out.data() + i * dim);
  }

  void run() {
    for (std::int64_t word = 0; word < words; ++word) {
      load_tile(word);
      for (std::int64_t i = 0; i < queries; ++i) add_tile(word, i);
    }
    for (std::int64_t i = 0; i < queries; ++i) {
      if (args.lse) args.lse.as<float>()[(n * args.heads + head) * queries + i] = top[i] + std::log2(sum[i]);
      const std::int64_t at = (n * queries + i) * args.heads * dim + head * dim;
      for (std::int64_t d = 0; d < dim; ++d) {
        const float value = out[i * dim + d] / sum[i];
        if (args.out.dtype == DType::f32)
          args.out.as<float>()[at + d] = value;
        else
          store(args.out.as<BFloat16>()[at + d], value);
      }
    }
  }
};

}  // namespace

void visible_keys_cpu(const MaskedAttentionArgs& args, std::int64_t n, std::int64_t q, std::int64_t words,
                      std::uint64_t* bits) {
  const std::int64_t keys = args.k.size[1], row = n * args.q.size[1] + q, used = (keys + 63) / 64;
  std::fill_n(bits, words, std::uint64_t{0});
  std::uint64_t any = 0;
  const std::uint64_t last = ~std::uint64_t{0} >> (used * 64 - keys);
  for (std::int64_t w = 0; w < used; ++w) {
    std::uint64_t word = ~std::uint64_t{0};
    if (args.allowed) word = args.allowed.as<std::uint64_t>()[row * used + w];
    if (args.blocked) {
      const std::uint8_t* blocked = args.blocked.as<std::uint8_t>() + row * keys + w * 64;
      word = 0;
      for (std::int64_t t = 0; t < std::min<std::int64_t>(64, keys - w * 64); ++t)
        word |= std::uint64_t{blocked[t] == 0} << t;
    }
    bits[w] = w == used - 1 ? word & last : word;
    any |= bits[w];
  }
  if (any) return;
  std::fill_n(bits, used, ~std::uint64_t{0});
  bits[used - 1] = last;
}

void masked_attention_cpu(const MaskedAttentionArgs& args) {
  cpu::parallel_for(args.q.size[0] * args.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) Head(args, i / args.heads, i % args.heads).run();
  });
}

}  // namespace visage::ops
