// Flash-attention backward (Dao et al., FlashAttention, algorithm 4): the weights p are recomputed tile by tile from
// the log-sum-exp of the forward, so no [Q,L] matrix is kept. With g the gradient of the output and D = g . out,
//   gv = p^T g,   ds = p * (g v^T - D),   gq = scale * ds k,   gk = scale * ds^T q
// A task owns one head of one image, so every gradient element has one writer.
#include "ops/attention/masked_attention_kernels.h"
#include "ops/attention/tile_products.h"
#include "tensor/cpu/parallel.h"

#include <vector>

namespace visage::ops {
namespace {

constexpr float kLog2E = 1.44269504f;

// out[d][kTile] = sum over rows r of factors[row_of[r]][d] * tiles[r][kTile].
void outer_products(const std::vector<std::int64_t>& row_of, const float* factors, const float* tiles, std::int64_t dim,
                    float* out) {
  constexpr int kVecs = kTile / kVec8;
  for (std::int64_t d = 0; d < dim; ++d) {
    Vec8 sum[kVecs] = {};
    for (std::size_t r = 0; r < row_of.size(); ++r) {
      const float factor = factors[row_of[r] * dim + d];
      for (int v = 0; v < kVecs; ++v)
        sum[v] += factor * load8(tiles + static_cast<std::int64_t>(r) * kTile + v * kVec8);
    }
    for (int v = 0; v < kVecs; ++v) store8(out + d * kTile + v * kVec8, sum[v]);
  }
}

struct Head {
  const MaskedAttentionBackwardArgs& args;
  const MaskedAttentionArgs& forward;
  std::int64_t n, head;
  std::int64_t queries, keys, dim, words;
  std::vector<float> q, g, gq, delta;                       // [Q,dim] times scale * log2(e), [Q,dim], [Q,dim], [Q]
  std::vector<std::uint64_t> visible;                       // [Q,words]
  std::vector<float> k_rows, v_rows, k_columns, v_columns;  // [kTile,dim], [dim,kTile]
  std::vector<std::int64_t> active;                         // queries that see a key of the tile
  std::vector<float> p, ds, columns;                        // [active,kTile], [dim,kTile]

  Head(const MaskedAttentionBackwardArgs& given, std::int64_t image, std::int64_t index)
      : args(given),
        forward(given.forward),
        n(image),
        head(index),
        queries(forward.q.size[1]),
        keys(forward.k.size[1]),
        dim(forward.q.size[2] / forward.heads),
        words((keys + kTile - 1) / kTile),
        q(queries * dim),
        g(queries * dim),
        gq(queries * dim, 0.f),
        delta(queries, 0.f),
        visible(queries * words),
        k_rows(kTile * dim),
        v_rows(kTile * dim),
        k_columns(kTile * dim),
        v_columns(kTile * dim),
        p(queries * kTile),
        ds(queries * kTile),
        columns(kTile * dim) {
    std::vector<float> out(dim);
    for (std::int64_t i = 0; i < queries; ++i) {
      read_row(forward.q, n, i, head * dim, dim, q.data() + i * dim);
      read_row(args.gout, n, i, head * dim, dim, g.data() + i * dim);
      read_row(forward.out, n, i, head * dim, dim, out.data());
      for (std::int64_t d = 0; d < dim; ++d) delta[i] += g[i * dim + d] * out[d];
      visible_keys_cpu(forward, n, i, words, visible.data() + i * words);
    }
    for (float& x : q) x *= forward.scale * kLog2E;
  }

  void load_tile(std::int64_t word) {
    const std::int64_t count = std::min(kTile, keys - word * kTile);
    std::fill(k_rows.begin() + count * dim, k_rows.end(), 0.f);
    std::fill(v_rows.begin() + count * dim, v_rows.end(), 0.f);
    for (std::int64_t t = 0; t < count; ++t) {
      read_row(forward.k, n, word * kTile + t, head * dim, dim, k_rows.data() + t * dim);
      read_row(forward.v, n, word * kTile + t, head * dim, dim, v_rows.data() + t * dim);
    }
    for (std::int64_t d = 0; d < dim; ++d)
      for (std::int64_t t = 0; t < kTile; ++t) {
        k_columns[d * kTile + t] = k_rows[t * dim + d];
        v_columns[d * kTile + t] = v_rows[t * dim + d];
      }
  }

  // p and ds of a query and the tile; false if it sees none of its keys.
  bool weigh(std::int64_t word, std::int64_t i, float* weights, float* slopes) const {
    const std::uint64_t seen = visible[i * words + word];
    if (!seen) return false;
    std::fill_n(weights, kTile, 0.f);
    std::fill_n(slopes, kTile, -delta[i]);
    add_products(q.data() + i * dim, k_columns.data(), dim, weights);
    add_products(g.data() + i * dim, v_columns.data(), dim, slopes);
    const float lse = forward.lse.as<float>()[(n * forward.heads + head) * queries + i];
    for (int t = 0; t < kTile; t += kVec8) {
      // Rounding may leave a weight a little above 1, where the exponential is still exact enough.
      store8(weights + t, exp2_nonpositive(load8(weights + t) - lse));
    }
    if (~seen)
      for (std::int64_t t = 0; t < kTile; ++t) weights[t] = seen >> t & 1 ? weights[t] : 0.f;
    for (std::int64_t t = 0; t < kTile; ++t) slopes[t] *= weights[t];
    return true;
  }

  // columns [dim][kTile] times `factor` to the rows of the tile's keys.
  void write_tile(const Gradient& gradient, std::int64_t word, float factor) const {
    const std::int64_t count = std::min(kTile, keys - word * kTile);
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t row = ((n * keys + word * kTile + t) * forward.heads + head) * dim;
      for (std::int64_t d = 0; d < dim; ++d) gradient.put(row + d, factor * columns[d * kTile + t]);
    }
  }

  void add_tile(std::int64_t word) {
    load_tile(word);
    active.clear();
    for (std::int64_t i = 0; i < queries; ++i) {
      const std::int64_t at = std::ssize(active) * kTile;
      if (!weigh(word, i, p.data() + at, ds.data() + at)) continue;
      active.push_back(i);
      if (args.gq) add_values(ds.data() + at, k_rows.data(), dim, 1, gq.data() + i * dim);
    }
    if (args.gk) {
      outer_products(active, q.data(), ds.data(), dim, columns.data());
      write_tile(args.gk, word, 1 / kLog2E);  // q carries the scale already
    }
    if (args.gv) {
      outer_products(active, g.data(), p.data(), dim, columns.data());
      write_tile(args.gv, word, 1);
    }
  }

  void run() {
    for (std::int64_t word = 0; word < words; ++word) add_tile(word);
    for (std::int64_t i = 0; args.gq && i < queries; ++i)
      for (std::int64_t d = 0; d < dim; ++d)
        args.gq.put(((n * queries + i) * forward.heads + head) * dim + d, forward.scale * gq[i * dim + d]);
  }
};

}  // namespace

void masked_attention_backward_cpu(const MaskedAttentionBackwardArgs& args) {
  const std::int64_t heads = args.forward.heads;
  cpu::parallel_for(args.forward.q.size[0] * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) Head(args, i / heads, i % heads).run();
  });
}

}  // namespace visage::ops
