// Masked attention in f32 on the GPU, flash style: tiles of 64 queries by 64 keys, a running softmax, no score matrix
// in memory (Dao et al., FlashAttention). With few queries there are too few blocks for the GPU, so the keys of a head
// are split among blocks, each of which leaves an unnormalised sum, and a second kernel combines them in a fixed order.
// Bound by f32 multiply-adds: 8 to 11 a 16-byte read of shared memory. Heads of bf16 keys go to the tensor cores
// (masked_attention_mma_cuda.cu). Not yet run or timed on a GPU.
#include "ops/attention/attention_tiles.cuh"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace attention_detail {
namespace {

constexpr int kWordsThreads = 128, kCombineThreads = 256;

/// visible[row] = the keys that a row sees, all of them if it would see none: of `allowed` words or `blocked` bytes.
/// Mapping: a block owns a row, a warp every fourth word of 64 keys; two ballots make a word of bytes. Bound by the
/// latency of one pass over the masks.
__global__ void __launch_bounds__(kWordsThreads)
    visible_keys_kernel(const std::uint8_t* blocked, const std::uint64_t* allowed, std::uint64_t* visible, int keys) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % cuda::kWarpSize;
  const int words = (keys + 63) / 64;
  const std::int64_t row = blockIdx.x;
  const std::uint64_t last = ~std::uint64_t{0} >> (words * std::int64_t{64} - keys);
  bool any = false;
  for (int w = thread / cuda::kWarpSize; w < words; w += kWordsThreads / cuda::kWarpSize) {
    std::uint64_t word = 0;
    if (allowed) {
      word = allowed[row * words + w];
      if (w == words - 1) word &= last;
    } else {
      const auto open = [&](int key) { return key < keys && blocked[row * keys + key] == 0; };
      word = __ballot_sync(cuda::kAllLanes, open(w * 64 + lane));
      word |= std::uint64_t{__ballot_sync(cuda::kAllLanes, open(w * 64 + 32 + lane))} << 32;
    }
    any = any || word != 0;
    if (lane == 0) visible[row * words + w] = word;
  }
  if (__syncthreads_or(any)) return;
  for (int w = thread; w < words; w += kWordsThreads) {
    visible[row * words + w] = w == words - 1 ? last : ~std::uint64_t{0};
  }
}

/// s[r][j] becomes the scaled base-2 score, kLowest where the query does not see the key.
__device__ __forceinline__ void finish_scores(const Shape& shape, const Part& part, const Lane& lane, int first_query,
                                              const std::uint64_t* visible, const int* sees_any, int tile,
                                              const float* score_y, const float* score_x, const Grid& grid,
                                              const Cells& cell, float (&s)[kOwnRows][kOwnKeys]) {
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const int query = first_query + lane.query(r);
    if (score_y && query < shape.queries) {
      const std::int64_t row = shape.score_row(part.n, part.head, query);
#pragma unroll
      for (int j = 0; j < kOwnKeys; ++j)
        s[r][j] += score_y[row * grid.height + cell[0][lane.key(j)]] + score_x[row * grid.width + cell[1][lane.key(j)]];
    }
    const std::uint64_t seen = keys_seen(visible, sees_any, shape, part.n, query, tile);
#pragma unroll
    for (int j = 0; j < kOwnKeys; ++j) s[r][j] = seen >> lane.key(j) & 1 ? s[r][j] * (shape.scale * kLog2E) : kLowest;
  }
}

/// The running softmax of a thread's four queries. `sum` counts the thread's own keys only.
struct Softmax {
  float top[kOwnRows], sum[kOwnRows];
  float o[kOwnRows][kOwnColumns];

  __device__ Softmax() {
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      top[r] = kLowest;
      sum[r] = 0;
#pragma unroll
      for (int c = 0; c < kOwnColumns; ++c) o[r][c] = 0;
    }
  }

  /// Scores become weights relative to the highest score so far; what was summed before is scaled to it. A row that has
  /// seen no key yet gathers weights of 1, which the first key it sees, here or in another split, scales to 0.
  __device__ __forceinline__ void weigh(float (&s)[kOwnRows][kOwnKeys]) {
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) {
      float peak = top[r];
#pragma unroll
      for (int j = 0; j < kOwnKeys; ++j) peak = fmaxf(peak, s[r][j]);
      peak = reduce_row(peak, cuda::Max{});
      const float keep = exp2f(top[r] - peak);
      top[r] = peak;
      sum[r] *= keep;
#pragma unroll
      for (int j = 0; j < kOwnKeys; ++j) {
        s[r][j] = exp2f(s[r][j] - peak);
        sum[r] += s[r][j];
      }
#pragma unroll
      for (int c = 0; c < kOwnColumns; ++c) o[r][c] *= keep;
    }
  }
};

/// Leaves o / sum and the log-sum-exp, or, of a split, the unnormalised sums. `stats` [2, splits, N, heads, Q].
__device__ __forceinline__ void write_rows(const Shape& shape, const Part& part, const Lane& lane, int first_query,
                                           Softmax& softmax, void* out, bool out_bf16, float* lse, float* partial,
                                           float* stats) {
  const int column = part.chunk * kTileColumns + lane.column();
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const float sum = reduce_row(softmax.sum[r], cuda::Sum{});
    const int query = first_query + lane.query(r);
    if (query >= shape.queries) continue;
    const std::int64_t row = shape.score_row(part.n, part.head, query);
    const std::int64_t at = (std::int64_t{part.n} * shape.queries + query) * shape.channels() + part.head * shape.dim;
    const std::int64_t size = std::int64_t{shape.batch} * shape.queries;
    const bool writes_stats = part.chunk == 0 && lane.part == 0;
    if (partial && writes_stats) write_stats(stats, shape, part.split, row, softmax.top[r], sum);
    if (lse && !partial && writes_stats) lse[row] = softmax.top[r] + log2f(sum);
#pragma unroll
    for (int c = 0; c < kOwnColumns; ++c) {
      if (column + c >= shape.dim) break;
      const float value = softmax.o[r][c];
      if (partial)
        partial[part.split * size * shape.channels() + at + column + c] = value;
      else if (out_bf16)
        static_cast<__nv_bfloat16*>(out)[at + column + c] = cuda::from_float<__nv_bfloat16>(value / sum);
      else
        static_cast<float*>(out)[at + column + c] = value / sum;
    }
  }
}

/// Mapping: block (part, query tile) takes 64 queries of a head through the key tiles of its split and owns 32 channels
/// of the result; heads of up to 32 channels, the usual case, keep their queries in shared memory, longer ones reload
/// them for every tile. Registers: 32 scores and 16 sums a thread (attention_tiles.cuh). Shared memory: 46 KiB.
__global__ void __launch_bounds__(kThreads, 3)
    forward_kernel(const void* q, Rows q_rows, const void* k, Rows k_rows, const void* v, Rows v_rows,
                   const std::uint64_t* visible, const int* sees_any, const float* score_y, const float* score_x,
                   Grid grid, void* out, bool out_bf16, float* lse, float* partial, float* stats, Shape shape) {
  VISAGE_SHARED(float, q_tile, [kTileSize]);
  VISAGE_SHARED(float, k_tile, [kTileSize]);
  VISAGE_SHARED(float, v_tile, [kTileSize]);
  VISAGE_SHARED(float, weights, [kScoreTileSize]);
  VISAGE_SHARED(int, cell, [2][kTileKeys]);
  const Part part(shape, blockIdx.x);
  const Lane lane;
  const int first_query = static_cast<int>(blockIdx.y) * kTileRows;
  Softmax softmax;
  for (int tile = part.first_tile; tile < part.last_tile; ++tile) {
    // Read again when the scores are there: four words a thread are too many to keep.
    std::uint64_t any = 0;
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r)
      any |= keys_seen(visible, sees_any, shape, part.n, first_query + lane.query(r), tile);
    const bool active = __any_sync(cuda::kAllLanes, any != 0);
    float s[kOwnRows][kOwnKeys] = {};
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      __syncthreads();  // every warp is done with the tiles before
      if (shape.chunks > 1 || tile == part.first_tile)
        load_tile(q, q_rows, shape, part.n, part.head, chunk, first_query, shape.queries, q_tile);
      load_tile(k, k_rows, shape, part.n, part.head, chunk, tile * kTileRows, shape.keys, k_tile);
      if (chunk == part.chunk)
        load_tile(v, v_rows, shape, part.n, part.head, chunk, tile * kTileRows, shape.keys, v_tile);
      if (chunk == 0 && score_y) locate_keys(grid, shape, tile, cell);
      __syncthreads();
      if (active) add_scores(q_tile, k_tile, lane, s);
    }
    if (!active) continue;
    finish_scores(shape, part, lane, first_query, visible, sees_any, tile, score_y, score_x, grid, cell, s);
    softmax.weigh(s);
    store_scores(s, lane, weights);
    __syncwarp();
    add_by_query(weights, v_tile, lane, softmax.o);
  }
  write_rows(shape, part, lane, first_query, softmax, out, out_bf16, lse, partial, stats);
}

/// out = sum over splits s of 2^(top_s - top) partial_s / sum over splits of 2^(top_s - top) sum_s, top = max of top_s.
/// Mapping: a thread owns an element of the result; its warp reads the splits' rows side by side. Bound by the latency
/// of reading them from the L2 cache.
__global__ void __launch_bounds__(kCombineThreads)
    combine_kernel(const float* partial, const float* stats, void* out, bool out_bf16, float* lse, Shape shape) {
  const std::int64_t size = std::int64_t{shape.batch} * shape.queries * shape.channels();
  const std::int64_t rows = std::int64_t{shape.batch} * shape.queries * shape.heads;
  const std::int64_t i = blockIdx.x * std::int64_t{kCombineThreads} + threadIdx.x;
  if (i >= size) return;
  const int channel = static_cast<int>(i % shape.channels());
  const std::int64_t query = i / shape.channels();
  const std::int64_t row = shape.score_row(static_cast<int>(query / shape.queries), channel / shape.dim,
                                           static_cast<int>(query % shape.queries));
  float top = kLowest;
  for (int s = 0; s < shape.splits; ++s) top = fmaxf(top, stats[s * rows + row]);
  float sum = 0, value = 0;
  for (int s = 0; s < shape.splits; ++s) {
    const float keep = exp2f(stats[s * rows + row] - top);
    sum += keep * stats[(shape.splits + s) * rows + row];
    value += keep * partial[s * size + i];
  }
  value /= sum;
  if (lse && channel % shape.dim == 0) lse[row] = top + log2f(sum);
  if (out_bf16)
    static_cast<__nv_bfloat16*>(out)[i] = cuda::from_float<__nv_bfloat16>(value);
  else
    static_cast<float*>(out)[i] = value;
}

}  // namespace

void visible_keys_cuda(const MaskedAttentionArgs& args, const View& visible, StreamHandle stream) {
  if (!visible) return;
  const auto rows = static_cast<unsigned>(args.q.size[0] * args.q.size[1]);
  cuda::launch<visible_keys_kernel>({rows, kWordsThreads, 0, stream}, args.blocked.as<const std::uint8_t>(),
                                    args.allowed.as<const std::uint64_t>(), visible.as<std::uint64_t>(),
                                    static_cast<int>(args.k.size[1]));
}

}  // namespace attention_detail

void masked_attention_cuda(const MaskedAttentionArgs& args, const AttentionScratch& scratch, StreamHandle stream) {
  using namespace attention_detail;
  visible_keys_cuda(args, scratch.visible, stream);
  const Shape shape = shape_of(args, scratch.partial, kTileColumns);
  const bool out_bf16 = args.out.dtype == DType::bf16;
  if (masked_attention_fits_mma(args)) {
    forward_mma_cuda(args, scratch, stream);
  } else {
    const dim3 grid(shape.blocks(), cuda::blocks_for(shape.queries, kAttentionQueries));
    cuda::launch<forward_kernel>({grid, kThreads, 0, stream}, args.q.data, rows_of(args.q, shape.dim), args.k.data,
                                 rows_of(args.k, shape.dim), args.v.data, rows_of(args.v, shape.dim),
                                 words_of(args, scratch), args.sees_any.as<const int>(), args.score_y.as<const float>(),
                                 args.score_x.as<const float>(), grid_of(args), args.out.data, out_bf16,
                                 args.lse.as<float>(), scratch.partial.as<float>(), scratch.stats.as<float>(), shape);
  }
  if (!scratch.partial || !args.out) return;
  const std::int64_t size = args.q.size.numel();
  cuda::launch<combine_kernel>({cuda::blocks_for(size, kCombineThreads), kCombineThreads, 0, stream},
                               scratch.partial.as<const float>(), scratch.stats.as<const float>(), args.out.data,
                               out_bf16, args.lse.as<float>(), shape);
}

}  // namespace visage::ops
