#include "ops/attention/masked_attention_kernels.h"
#include "ops/simd/avx512.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <list>

#define VISAGE_AVX512 [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]]

namespace visage::ops {
namespace {

constexpr int kLanes = 16;
constexpr int kRows = 6;   // queries whose scores fit in registers together
constexpr int kWord = 64;  // keys of one mask word: four registers
constexpr int kWords = 2;  // mask words of one tile: its keys and values stay in the L1 cache
constexpr int kTile = kWord * kWords;
constexpr float kLowest = -1e30f;  // stands for minus infinity without turning differences into NaN
constexpr float kLog2E = 1.44269504f;

// 64-byte aligned scratch memory.
template <class T>
class Buffer {
 public:
  explicit Buffer(std::int64_t count) {
    const auto bytes = (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(operator new (bytes, std::align_val_t{64}));
    std::memset(data_, 0, bytes);
  }
  ~Buffer() { operator delete (data_, std::align_val_t{64}); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

VISAGE_AVX512 inline __m512 load(const View& x, std::int64_t at) {
  return x.dtype == DType::f32 ? _mm512_loadu_ps(x.as<float>() + at) : avx512::load_bf16(x.as<BFloat16>() + at);
}

// Asks for the row that lies one tile later. The address is computed as a number, since it may lie past the end, where
// a prefetch does nothing.
inline void prefetch_next(const View& x, std::int64_t at) {
  const auto offset = (at + kTile * x.stride[1]) * static_cast<std::int64_t>(size_of(x.dtype));
  const auto address = reinterpret_cast<std::uintptr_t>(x.data) + static_cast<std::uintptr_t>(offset);
  _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T1);
}

// Keys [first, first + kTile) of one head as [word][dim][64] and their values as [key][dim]; missing ones are 0.
template <int V>
VISAGE_AVX512 void pack_tile(const MaskedAttentionArgs& args, std::int64_t n, std::int64_t channel, std::int64_t first,
                             float* keys, float* values) {
  constexpr int kDim = V * kLanes;
  const std::int64_t count = std::min<std::int64_t>(kTile, args.k.size[1] - first);
  for (int t = 0; t < kTile; ++t) {
    float* column = keys + t / kWord * kDim * kWord + t % kWord;
    alignas(64) float row[kDim] = {};
    for (int v = 0; v < V; ++v) {
      __m512 value = _mm512_setzero_ps();
      if (t < count) {
        const std::int64_t key = n * args.k.stride[0] + (first + t) * args.k.stride[1] + channel + v * kLanes;
        const std::int64_t val = n * args.v.stride[0] + (first + t) * args.v.stride[1] + channel + v * kLanes;
        prefetch_next(args.k, key);
        prefetch_next(args.v, val);
        _mm512_store_ps(row + v * kLanes, load(args.k, key));
        value = load(args.v, val);
      }
      _mm512_store_ps(values + t * kDim + v * kLanes, value);
    }
    for (int d = 0; d < kDim; ++d) column[d * kWord] = row[d];
  }
}

// s = factor * (score_y[y] + score_x[x]) of keys [first, first + kTile) on a grid of `width` columns.
VISAGE_AVX512 void grid_scores(const float* score_y, const float* score_x, std::int64_t width, std::int64_t keys,
                               std::int64_t first, float factor, float* s) {
  const __m512 scale = _mm512_set1_ps(factor);
  const std::int64_t count = std::min<std::int64_t>(kTile, keys - first);
  std::int64_t y = first / width, x = first % width;
  for (std::int64_t t = 0; t < count;) {
    const std::int64_t run = std::min(width - x, count - t);
    const __m512 row = _mm512_set1_ps(score_y[y] * factor);
    for (std::int64_t i = 0; i < run; i += kLanes) {
      const auto used = static_cast<__mmask16>(run - i >= kLanes ? 0xffff : (1 << (run - i)) - 1);
      _mm512_mask_storeu_ps(s + t + i, used, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(used, score_x + x + i), scale, row));
    }
    t += run;
    x = 0;
    ++y;
  }
}

// s[r][0, 64) = (kAdd ? s : 0) + q[r] . keys for kRows queries and the 64 keys of one word.
template <int V, bool kAdd>
VISAGE_AVX512 void score(const float* q, const float* keys, float* s) {
  constexpr int kDim = V * kLanes;
  __m512 sum[kRows][4];
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < 4; ++c) sum[r][c] = kAdd ? _mm512_load_ps(s + r * kTile + c * kLanes) : _mm512_setzero_ps();
  for (int d = 0; d < kDim; ++d) {
    const float* k = keys + d * kWord;
    const __m512 k0 = _mm512_load_ps(k), k1 = _mm512_load_ps(k + 16), k2 = _mm512_load_ps(k + 32),
                 k3 = _mm512_load_ps(k + 48);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m512 factor = _mm512_set1_ps(q[r * kDim + d]);
      sum[r][0] = _mm512_fmadd_ps(factor, k0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(factor, k1, sum[r][1]);
      sum[r][2] = _mm512_fmadd_ps(factor, k2, sum[r][2]);
      sum[r][3] = _mm512_fmadd_ps(factor, k3, sum[r][3]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < 4; ++c) _mm512_store_ps(s + r * kTile + c * kLanes, sum[r][c]);
}

// out[r] += p[r] . values for kRows queries and 64 keys.
template <int V>
VISAGE_AVX512 void accumulate(const float* p, const float* values, float* out) {
  constexpr int kDim = V * kLanes;
  __m512 sum[kRows][V];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < V; ++v) sum[r][v] = _mm512_load_ps(out + r * kDim + v * kLanes);
  for (int t = 0; t < kWord; ++t) {
    __m512 value[V];
    for (int v = 0; v < V; ++v) value[v] = _mm512_load_ps(values + t * kDim + v * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m512 factor = _mm512_set1_ps(p[r * kTile + t]);
      for (int v = 0; v < V; ++v) sum[r][v] = _mm512_fmadd_ps(factor, value[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < V; ++v) _mm512_store_ps(out + r * kDim + v * kLanes, sum[r][v]);
}

// Running softmax of one query (Milakov and Gimelshein): s becomes the weights relative to the new maximum, and what
// was summed so far is scaled to it.
template <int V>
VISAGE_AVX512 void soften(const std::uint64_t* seen, unsigned active, float* s, float& top, __m512& sum, float* out) {
  __m512 peak = _mm512_set1_ps(top);
  for (int w = 0; w < kWords; ++w)
    if (active >> w & 1)
      for (int c = 0; c < 4; ++c)
        peak = _mm512_mask_max_ps(peak, static_cast<__mmask16>(seen[w] >> (c * kLanes)), peak,
                                  _mm512_load_ps(s + w * kWord + c * kLanes));
  const float highest = _mm512_reduce_max_ps(peak);
  const __m512 shift = _mm512_set1_ps(highest);
  if (highest > top) {
    const __m512 keep = avx512::exp2_nonpositive(_mm512_set1_ps(top - highest));
    sum = _mm512_mul_ps(sum, keep);
    for (int v = 0; v < V; ++v)
      _mm512_store_ps(out + v * kLanes, _mm512_mul_ps(_mm512_load_ps(out + v * kLanes), keep));
    top = highest;
  }
  for (int w = 0; w < kWords; ++w)
    if (active >> w & 1)
      for (int c = 0; c < 4; ++c) {
        float* at = s + w * kWord + c * kLanes;
        const __m512 e = avx512::exp2_nonpositive(_mm512_sub_ps(_mm512_load_ps(at), shift));
        const __m512 p = _mm512_maskz_mov_ps(static_cast<__mmask16>(seen[w] >> (c * kLanes)), e);
        sum = _mm512_add_ps(sum, p);
        _mm512_store_ps(at, p);
      }
}

std::int64_t word_count(std::int64_t keys) { return (keys + kTile - 1) / kTile * kWords; }

// One tile of keys and values of a head and the scores of a block of queries.
struct Scratch {
  Buffer<float> keys, values, scores;
  explicit Scratch(std::int64_t dim) : keys(kTile * dim), values(kTile * dim), scores(kRows * kTile) {}
};

// State of one head of one image. Queries are padded to a multiple of kRows with rows that see nothing.
template <int V>
struct Head {
  static constexpr int kDim = V * kLanes;
  const MaskedAttentionArgs& args;
  std::int64_t n, head, queries, padded, keys, words;
  Buffer<float> q, out, top, sum;
  Buffer<std::uint64_t> visible;

  Head(const MaskedAttentionArgs& given, std::int64_t image, std::int64_t index)
      : args(given),
        n(image),
        head(index),
        queries(given.q.size[1]),
        padded((queries + kRows - 1) / kRows * kRows),
        keys(given.k.size[1]),
        words(word_count(keys)),
        q(padded * kDim),
        out(padded * kDim),
        top(padded),
        sum(padded * kLanes),
        visible(padded * words) {}

  VISAGE_AVX512 void prepare() {
    const __m512 scale = _mm512_set1_ps(args.scale * kLog2E);
    for (std::int64_t i = 0; i < queries; ++i) {
      const std::int64_t at = n * args.q.stride[0] + i * args.q.stride[1] + head * kDim;
      for (int v = 0; v < V; ++v)
        _mm512_store_ps(q.get() + i * kDim + v * kLanes, _mm512_mul_ps(load(args.q, at + v * kLanes), scale));
      visible_keys_cpu(args, n, i, words, visible.get() + i * words);
    }
    std::fill_n(top.get(), padded, kLowest);
  }

  VISAGE_AVX512 void add_rows(std::int64_t word, std::int64_t row, Scratch& scratch) {
    unsigned active = 0;  // words of the tile that some query of the block sees
    for (int w = 0; w < kWords; ++w)
      for (int r = 0; r < kRows; ++r) active |= unsigned{visible.get()[(row + r) * words + word + w] != 0} << w;
    if (!active) return;
    const bool grid = static_cast<bool>(args.score_y);
    float* s = scratch.scores.get();
    if (grid)
      for (int r = 0; r < kRows && row + r < queries; ++r) {
        const std::int64_t height = args.score_y.size[3], width = args.score_x.size[3];
        const std::int64_t at = (n * args.heads + head) * queries + row + r;
        grid_scores(args.score_y.as<float>() + at * height, args.score_x.as<float>() + at * width, width, keys,
                    word * kWord, args.scale * kLog2E, s + r * kTile);
      }
    for (int w = 0; w < kWords; ++w) {
      if (!(active >> w & 1)) continue;
      const float* k = scratch.keys.get() + w * kDim * kWord;
      if (grid)
        score<V, true>(q.get() + row * kDim, k, s + w * kWord);
      else
        score<V, false>(q.get() + row * kDim, k, s + w * kWord);
    }
    for (int r = 0; r < kRows; ++r) {
      __m512 total = _mm512_load_ps(sum.get() + (row + r) * kLanes);
      soften<V>(visible.get() + (row + r) * words + word, active, s + r * kTile, top.get()[row + r], total,
                out.get() + (row + r) * kDim);
      _mm512_store_ps(sum.get() + (row + r) * kLanes, total);
    }
    for (int w = 0; w < kWords; ++w)
      if (active >> w & 1)
        accumulate<V>(s + w * kWord, scratch.values.get() + w * kWord * kDim, out.get() + row * kDim);
  }

  VISAGE_AVX512 void finish() {
    for (std::int64_t i = 0; i < queries; ++i) {
      const float mass = _mm512_reduce_add_ps(_mm512_load_ps(sum.get() + i * kLanes));
      const __m512 total = _mm512_set1_ps(mass);
      if (args.lse) args.lse.as<float>()[(n * args.heads + head) * queries + i] = top.get()[i] + std::log2(mass);
      const std::int64_t at = ((n * queries + i) * args.heads + head) * kDim;
      for (int v = 0; v < V; ++v) {
        const __m512 value = _mm512_div_ps(_mm512_load_ps(out.get() + i * kDim + v * kLanes), total);
        if (args.out.dtype == DType::f32)
          _mm512_storeu_ps(args.out.as<float>() + at + v * kLanes, value);
        else
          avx512::store_bf16(args.out.as<BFloat16>() + at + v * kLanes, value);
      }
    }
  }

  VISAGE_AVX512 void add_tile(std::int64_t word, Scratch& scratch) {
    pack_tile<V>(args, n, head * kDim, word * kWord, scratch.keys.get(), scratch.values.get());
    for (std::int64_t row = 0; row < padded; row += kRows) add_rows(word, row, scratch);
  }
};

// Heads of one image go through the keys together, so that a row of keys is read once while it is in the cache.
template <int V>
void run_heads(const MaskedAttentionArgs& args) {
  cpu::parallel_for(args.q.size[0] * args.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch(V * kLanes);
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t n = i / args.heads, stop = std::min(end, (n + 1) * args.heads);
      std::list<Head<V>> heads;
      for (; i < stop; ++i) heads.emplace_back(args, n, i % args.heads).prepare();
      for (std::int64_t word = 0; word < word_count(args.k.size[1]); word += kWords)
        for (Head<V>& head : heads) head.add_tile(word, scratch);
      for (Head<V>& head : heads) head.finish();
    }
  });
}

}  // namespace

bool masked_attention_fits_avx512(const MaskedAttentionArgs& args) {
  const std::int64_t dim = args.q.size[2] / args.heads;
  return dim == 16 || dim == 32 || dim == 64;
}

void masked_attention_avx512(const MaskedAttentionArgs& args) {
  switch (args.q.size[2] / args.heads) {
    case 16: return run_heads<1>(args);
    case 32: return run_heads<2>(args);
    case 64: return run_heads<4>(args);
  }
}

}  // namespace visage::ops
