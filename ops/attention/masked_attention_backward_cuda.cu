// Backward of masked attention on the GPU (Dao et al., FlashAttention, algorithm 4): the weights p are recomputed tile
// by tile from the log-sum-exp of the forward. With g the gradient of the output and D = g . out,
//   gv = p^T g,   ds = p * (g v^T - D),   gq = scale * ds k,   gk = scale * ds^T q
// A block owns tiles of keys and goes through all queries, so every element of gk and gv has one writer; gq is a sum
// over the keys, left as one partial sum a split and added up in a fixed order. No atomics: the same bits on every run.
// Bound by f32 multiply-adds: five products of 64 x 64 x 32 a pair of tiles. Not yet run or timed on a GPU.
#include "ops/attention/attention_tiles.cuh"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace attention_detail {
namespace {

constexpr int kRowThreads = 256;
constexpr int kBackwardTiles = 4;  // q, k, v, g

/// delta [N,heads,Q] = gout . out over the channels of a head. Mapping: a warp owns a row. Bound by memory bandwidth.
__global__ void __launch_bounds__(kRowThreads)
    delta_kernel(const float* gout, Rows gout_rows, const float* out, float* delta, Shape shape) {
  const std::int64_t row = blockIdx.x * std::int64_t{kRowThreads / cuda::kWarpSize} + threadIdx.x / cuda::kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int query = static_cast<int>(row % shape.queries);
  const int head = static_cast<int>(row / shape.queries % shape.heads);
  const int n = static_cast<int>(row / shape.queries / shape.heads);
  if (n >= shape.batch) return;
  const float* g = gout + n * gout_rows.batch_stride + query * gout_rows.row_stride + head * shape.dim;
  const float* y = out + (std::int64_t{n} * shape.queries + query) * shape.channels() + head * shape.dim;
  float sum = 0;
  for (int d = lane; d < shape.dim; d += cuda::kWarpSize) sum += g[d] * y[d];
  sum = cuda::warp_reduce(sum);
  if (lane == 0) delta[row] = sum;
}

__device__ __forceinline__ void put(float* to, float beta, float value) {
  *to = beta == 0 ? value : beta * *to + value;
}

/// Leaves a thread's rows of a [N, count, C] gradient: row(r) of the tile that starts at `first`.
template <class RowOf>
__device__ __forceinline__ void write_gradient(float* to, float beta, float factor, const Shape& shape,
                                               const Part& part, const Lane& lane, int first, int count, RowOf row,
                                               const float (&values)[kOwnRows][kOwnColumns]) {
  const int column = part.chunk * kTileColumns + lane.column();
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    if (first + row(r) >= count) continue;
    const std::int64_t at =
        (std::int64_t{part.n} * count + first + row(r)) * shape.channels() + part.head * shape.dim + column;
#pragma unroll
    for (int c = 0; c < kOwnColumns; ++c)
      if (column + c < shape.dim) put(to + at + c, beta, factor * values[r][c]);
  }
}

/// q k^T becomes p, g v^T becomes ds.
__device__ __forceinline__ void weigh(const Shape& shape, const Part& part, const Lane& lane, int first_query, int tile,
                                      const std::uint64_t* visible, const float* lse, const float* delta,
                                      float (&p)[kOwnRows][kOwnKeys], float (&slope)[kOwnRows][kOwnKeys]) {
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const int query = first_query + lane.query(r);
    const std::uint64_t seen = keys_seen(visible, nullptr, shape, part.n, query, tile);
    const std::int64_t row = shape.score_row(part.n, part.head, min(query, shape.queries - 1));
#pragma unroll
    for (int j = 0; j < kOwnKeys; ++j) {
      const float weight = exp2f(p[r][j] * (shape.scale * kLog2E) - lse[row]);
      p[r][j] = seen >> lane.key(j) & 1 ? weight : 0.f;
      slope[r][j] = p[r][j] * (slope[r][j] - delta[row]);
    }
  }
}

struct Sources {
  Rows q, k, v, g;
};

/// Mapping: block (image, head, 32 channels of it, split of the keys); for each of its tiles of 64 keys all tiles of 64
/// queries. Scores p and ds take turns in one tile of shared memory; products over queries need those of all warps,
/// hence the barriers. Registers: 32 weights, 32 slopes, 16 sums each of gk and gv a thread. Dynamic shared memory: 54
/// KiB. gq_partial [splits, N, Q, C] is read and written by the block that owns the split only.
__global__ void __launch_bounds__(kThreads, 3)
    backward_kernel(const void* q, const void* k, const void* v, const void* g, Sources rows,
                    const std::uint64_t* visible, const float* lse, const float* delta, float* gq_partial, float* gk,
                    float gk_beta, float* gv, float gv_beta, Shape shape) {
  VISAGE_DYNAMIC_SHARED(float, memory);
  float* const q_tile = memory;
  float* const k_tile = q_tile + kTileSize;
  float* const v_tile = k_tile + kTileSize;
  float* const g_tile = v_tile + kTileSize;
  float* const scores = g_tile + kTileSize;
  const Part part(shape, blockIdx.x);
  const Lane lane;
  const int chunks = shape.chunks, query_tiles = (shape.queries + kTileRows - 1) / kTileRows;
  const auto load = [&](const void* from, const Rows& at, int chunk, int first, int count, float* tile) {
    load_tile(from, at, shape, part.n, part.head, chunk, first, count, tile);
  };
  for (int tile = part.first_tile; tile < part.last_tile; ++tile) {
    const int first_key = tile * kTileRows;
    float sum_k[kOwnRows][kOwnColumns] = {}, sum_v[kOwnRows][kOwnColumns] = {};
    for (int query_tile = 0; query_tile < query_tiles; ++query_tile) {
      const int first_query = query_tile * kTileRows;
      float p[kOwnRows][kOwnKeys] = {}, slope[kOwnRows][kOwnKeys] = {};
      // The block's own chunk comes last, so that its tiles are there for the products below.
      for (int i = 1; i <= chunks; ++i) {
        const int chunk = (part.chunk + i) % chunks;
        __syncthreads();
        if (chunks > 1 || query_tile == 0) {
          load(k, rows.k, chunk, first_key, shape.keys, k_tile);
          load(v, rows.v, chunk, first_key, shape.keys, v_tile);
        }
        load(q, rows.q, chunk, first_query, shape.queries, q_tile);
        load(g, rows.g, chunk, first_query, shape.queries, g_tile);
        __syncthreads();
        add_scores(q_tile, k_tile, lane, p);
        add_scores(g_tile, v_tile, lane, slope);
      }
      weigh(shape, part, lane, first_query, tile, visible, lse, delta, p, slope);
      if (gv) {
        store_scores(p, lane, scores);
        __syncthreads();
        add_by_key(scores, g_tile, lane, sum_v);
        __syncthreads();
      }
      store_scores(slope, lane, scores);
      __syncthreads();
      if (gk) add_by_key(scores, q_tile, lane, sum_k);
      if (gq_partial) {
        float sum_q[kOwnRows][kOwnColumns] = {};
        add_by_query(scores, k_tile, lane, sum_q);
        float* const slice = gq_partial + part.split * (std::int64_t{shape.batch} * shape.queries * shape.channels());
        write_gradient(
            slice, tile == part.first_tile ? 0.f : 1.f, 1, shape, part, lane, first_query, shape.queries,
            [&](int r) { return lane.query(r); }, sum_q);
      }
    }
    const auto key = [&](int r) { return lane.first_key + r; };
    if (gk) write_gradient(gk, gk_beta, shape.scale, shape, part, lane, first_key, shape.keys, key, sum_k);
    if (gv) write_gradient(gv, gv_beta, 1, shape, part, lane, first_key, shape.keys, key, sum_v);
  }
}

/// gq = beta * gq + scale * sum of the splits' partial sums, in their order. Mapping: a thread owns an element.
__global__ void __launch_bounds__(kRowThreads)
    sum_splits_kernel(const float* partial, float* gq, float beta, float scale, int splits, std::int64_t size) {
  const std::int64_t i = blockIdx.x * std::int64_t{kRowThreads} + threadIdx.x;
  if (i >= size) return;
  float sum = 0;
  for (int s = 0; s < splits; ++s) sum += partial[s * size + i];
  put(gq + i, beta, scale * sum);
}

}  // namespace
}  // namespace attention_detail

void masked_attention_backward_cuda(const MaskedAttentionBackwardArgs& args, const AttentionScratch& scratch,
                                    StreamHandle stream) {
  using namespace attention_detail;
  const MaskedAttentionArgs& forward = args.forward;
  visible_keys_cuda(forward, scratch.visible, stream);
  const Shape shape = shape_of(forward, scratch.partial, kTileColumns);
  const std::int64_t score_rows = forward.lse.size.numel();
  const Sources rows{rows_of(forward.q, shape.dim), rows_of(forward.k, shape.dim), rows_of(forward.v, shape.dim),
                     rows_of(args.gout, shape.dim)};
  cuda::launch<delta_kernel>({cuda::blocks_for(score_rows, kRowThreads / cuda::kWarpSize), kRowThreads, 0, stream},
                             args.gout.as<const float>(), rows.g, forward.out.as<const float>(),
                             scratch.stats.as<float>(), shape);
  constexpr std::size_t kShared = (kBackwardTiles * kTileSize + kScoreTileSize) * sizeof(float);
  cuda::launch<backward_kernel>({shape.blocks(), kThreads, kShared, stream}, forward.q.data, forward.k.data,
                                forward.v.data, args.gout.data, rows, scratch.visible.as<const std::uint64_t>(),
                                forward.lse.as<const float>(), scratch.stats.as<const float>(),
                                args.gq ? scratch.partial.as<float>() : nullptr, args.gk.to.as<float>(), args.gk.beta,
                                args.gv.to.as<float>(), args.gv.beta, shape);
  if (!args.gq) return;
  const std::int64_t size = forward.q.size.numel();
  cuda::launch<sum_splits_kernel>({cuda::blocks_for(size, kRowThreads), kRowThreads, 0, stream},
                                  scratch.partial.as<const float>(), args.gq.to.as<float>(), args.gq.beta, shape.scale,
                                  shape.splits, size);
}

}  // namespace visage::ops
