// Masked attention on tensor cores, for bf16 keys and values: products in bf16, sums and softmax in f32. The queries of
// a decoder are few, so a block takes up to 128 of them past its share of the keys, which are read once. The scores of
// a warp stay in its registers: the accumulators of q k^T are the left operand of the product with v. Bound by the
// exponentials and, for few keys, by latency. Not yet run or timed on a GPU.
#include "ops/attention/attention_problem.cuh"
#include "tensor/cuda/async_copy.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/mma.cuh"

namespace visage::ops {
namespace attention_detail {
namespace {

using Half = __nv_bfloat16;
constexpr int kMmaThreads = 256;
constexpr int kKeyColumns = kTileKeys / cuda::kMmaColumns;  // products side by side that cover the keys of a tile
constexpr int kPairs = 2;                                   // an accumulator holds columns of rows g and g + 8
constexpr int kChunk = 8;                                   // elements of a 16-byte copy
static_assert(kMmaThreads / cuda::kWarpSize * cuda::kMmaRows == kAttentionMmaQueries);

/// Keys or values of a tile. Rows are an odd number of 16-byte units apart, so that eight of them lie in different
/// banks.
template <int kDim>
struct Tile {
  static constexpr int kPitch = kDim + kChunk;
  Half element[kTileKeys * kPitch];
};

template <int kDim>
__device__ __forceinline__ void copy_tile(const Half* from, const Rows& rows, const Shape& shape, const Part& part,
                                          int tile, Tile<kDim>& to) {
  constexpr int kChunks = kDim / kChunk;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kTileKeys * kChunks; i += kMmaThreads) {
    const int row = i / kChunks, column = i % kChunks * kChunk, key = tile * kTileKeys + row;
    const bool exists = key < shape.keys;
    const std::int64_t at =
        part.n * rows.batch_stride + (exists ? key : 0) * rows.row_stride + part.head * kDim + column;
    cuda::copy_async(&to.element[row * Tile<kDim>::kPitch + column], from + at, exists ? 16 : 0);
  }
}

/// Two neighbouring channels of a query as one register; zeros for a query that does not exist.
__device__ __forceinline__ unsigned query_pair(const void* q, const Rows& rows, const Shape& shape, const Part& part,
                                               int query, int channel) {
  if (query >= shape.queries) return 0;
  const std::int64_t at = part.n * rows.batch_stride + query * rows.row_stride + part.head * shape.dim + channel;
  if (rows.bf16) {
    const Half* const from = static_cast<const Half*>(q) + at;
    return cuda::pack_pair<Half>(cuda::to_float(from[0]), cuda::to_float(from[1]));
  }
  const float* const from = static_cast<const float*>(q) + at;
  return cuda::pack_pair<Half>(from[0], from[1]);
}

/// 16 queries of a warp. Of its registers, lane l's belong to queries l / 4 and l / 4 + 8 (tensor/cuda/mma.cuh).
template <int kDim>
struct RowTile {
  unsigned q[kDim / cuda::kMmaDepth][4];
  float top[kPairs], sum[kPairs];  // sum: of the lane's own keys
  float o[kDim / cuda::kMmaColumns][4];

  __device__ void start(const void* from, const Rows& rows, const Shape& shape, const Part& part, int query, int lane) {
#pragma unroll
    for (int k = 0; k < kDim / cuda::kMmaDepth; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        q[k][i] =
            query_pair(from, rows, shape, part, query + i % 2 * 8, k * cuda::kMmaDepth + i / 2 * 8 + lane % 4 * 2);
#pragma unroll
    for (int h = 0; h < kPairs; ++h) {
      top[h] = kLowest;
      sum[h] = 0;
    }
#pragma unroll
    for (auto& column : o)
#pragma unroll
      for (float& value : column) value = 0;
  }

  /// s = start + q k^T: a load of four matrices brings 32 channels of eight keys. start(n, s[n]) is called column by
  /// column, since what it loads would otherwise take more registers than there are.
  template <class Start>
  __device__ __forceinline__ void score(const Tile<kDim>& keys, int lane, Start start,
                                        float (&s)[kKeyColumns][4]) const {
#pragma unroll
    for (int n = 0; n < kKeyColumns; ++n) {
      start(n, s[n]);
#pragma unroll
      for (int k = 0; k < kDim / cuda::kMmaDepth; k += 2) {
        const int row = n * cuda::kMmaColumns + lane % 8, column = k * cuda::kMmaDepth + lane / 8 * 8;
        unsigned b[4];
        cuda::load_matrix(b, &keys.element[row * Tile<kDim>::kPitch + column]);
        cuda::mma<Half>(s[n], q[k], {b[0], b[1]});
        cuda::mma<Half>(s[n], q[k + 1], {b[2], b[3]});
      }
    }
  }

  /// Scaled scores become weights relative to the highest so far; what was summed before is scaled to it. A row that
  /// has seen no key yet gathers weights of 1, which the first key it sees, here or in another split, scales to 0.
  __device__ __forceinline__ void weigh(float (&s)[kKeyColumns][4]) {
#pragma unroll
    for (int h = 0; h < kPairs; ++h) {
      float peak = top[h];
#pragma unroll
      for (int n = 0; n < kKeyColumns; ++n) peak = fmaxf(peak, fmaxf(s[n][2 * h], s[n][2 * h + 1]));
      peak = fmaxf(peak, __shfl_xor_sync(cuda::kAllLanes, peak, 1));
      peak = fmaxf(peak, __shfl_xor_sync(cuda::kAllLanes, peak, 2));
      const float keep = exp2f(top[h] - peak);
      top[h] = peak;
      sum[h] *= keep;
#pragma unroll
      for (int n = 0; n < kKeyColumns; ++n)
#pragma unroll
        for (int i = 2 * h; i < 2 * h + 2; ++i) {
          s[n][i] = exp2f(s[n][i] - peak);
          sum[h] += s[n][i];
        }
#pragma unroll
      for (auto& column : o) {
        column[2 * h] *= keep;
        column[2 * h + 1] *= keep;
      }
    }
  }

  /// o += weights v: a load of four matrices brings 16 channels of 16 keys.
  __device__ __forceinline__ void add(const float (&s)[kKeyColumns][4], const Tile<kDim>& values, int lane) {
#pragma unroll
    for (int k = 0; k < kTileKeys / cuda::kMmaDepth; ++k) {
      unsigned a[4];
      cuda::pack_accumulators<Half>(a, s[2 * k], s[2 * k + 1]);
#pragma unroll
      for (int n = 0; n < kDim / cuda::kMmaColumns; n += 2) {
        const int row = k * cuda::kMmaDepth + lane % 16, column = n * cuda::kMmaColumns + lane / 16 * 8;
        unsigned b[4];
        cuda::load_matrix_transposed(b, &values.element[row * Tile<kDim>::kPitch + column]);
        cuda::mma<Half>(o[n], a, {b[0], b[1]});
        cuda::mma<Half>(o[n + 1], a, {b[2], b[3]});
      }
    }
  }
};

/// What a lane's scores of a tile start from: the terms of the grid, for two neighbouring keys of two queries at a
/// time. Eight queries read from eight lines of memory, so loads are what this costs: if kPaired (Grid::pairs), the two
/// keys lie in one row of the grid, their terms for the column are one load, and the term for the row is kept until it
/// changes.
template <bool kPaired>
struct Terms {
  std::int64_t at[kPairs];  // of the queries in the tensors of terms
  float of_row[kPairs] = {};
  int row = -1;

  __device__ Terms(const Shape& shape, const Part& part, int query) {
#pragma unroll
    for (int h = 0; h < kPairs; ++h) at[h] = shape.score_row(part.n, part.head, min(query + h * 8, shape.queries - 1));
  }

  __device__ __forceinline__ void start(const float* score_y, const float* score_x, const Grid& grid,
                                        const Cells& cells, int key, float (&s)[4]) {
    const int y = cells[0][key];
#pragma unroll
    for (int h = 0; h < kPairs; ++h) {
      const float* const columns = score_x + at[h] * grid.width;
      if constexpr (kPaired) {
        if (y != row) of_row[h] = score_y[at[h] * grid.height + y];
        float of_column[2];
        cuda::load_packet(columns + cells[1][key], of_column);
        s[2 * h] = of_row[h] + of_column[0];
        s[2 * h + 1] = of_row[h] + of_column[1];
      } else {
#pragma unroll
        for (int i = 0; i < 2; ++i)
          s[2 * h + i] = score_y[at[h] * grid.height + cells[0][key + i]] + columns[cells[1][key + i]];
      }
    }
    row = y;
  }
};

/// s becomes the scaled base-2 score, kLowest where the query does not see the key.
template <class Seen>
__device__ __forceinline__ void mask_scores(Seen seen, float scale, int lane, float (&s)[kKeyColumns][4]) {
#pragma unroll
  for (int h = 0; h < kPairs; ++h) {
    const std::uint64_t mine = seen(h) >> (lane % 4 * 2);
#pragma unroll
    for (int n = 0; n < kKeyColumns; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& value = s[n][2 * h + i];
        value = mine >> (n * cuda::kMmaColumns + i) & 1 ? value * scale : kLowest;
      }
  }
}

/// Leaves o / sum or, of a split, the unnormalised sums.
template <int kDim>
__device__ __forceinline__ void write_rows(const RowTile<kDim>& rows, const Shape& shape, const Part& part, int first,
                                           int lane, void* out, bool out_bf16, float* partial, float* stats) {
#pragma unroll
  for (int h = 0; h < kPairs; ++h) {
    float sum = rows.sum[h];
    sum += __shfl_xor_sync(cuda::kAllLanes, sum, 1);
    sum += __shfl_xor_sync(cuda::kAllLanes, sum, 2);
    const int query = first + h * 8;
    if (query >= shape.queries) continue;
    if (partial && lane % 4 == 0)
      write_stats(stats, shape, part.split, shape.score_row(part.n, part.head, query), rows.top[h], sum);
    const std::int64_t size = std::int64_t{shape.batch} * shape.queries * shape.channels();
    const std::int64_t at = (std::int64_t{part.n} * shape.queries + query) * shape.channels() + part.head * kDim;
#pragma unroll
    for (int n = 0; n < kDim / cuda::kMmaColumns; ++n) {
      float values[2] = {rows.o[n][2 * h], rows.o[n][2 * h + 1]};
      const std::int64_t to = at + n * cuda::kMmaColumns + lane % 4 * 2;
      if (partial) {
        cuda::store_packet(partial + part.split * size + to, values);
        continue;
      }
      for (float& value : values) value /= sum;
      if (out_bf16)
        cuda::store_packet(static_cast<Half*>(out) + to, values);
      else
        cuda::store_packet(static_cast<float*>(out) + to, values);
    }
  }
}

/// Mapping: block (part, 128 queries) takes the key tiles of its split, the next one on its way (cp.async) while one is
/// used; a warp owns 16 queries and skips the tiles that none of them sees. Shared memory for heads of 32: 22 KiB.
template <int kDim, bool kPaired>
__global__ void __launch_bounds__(kMmaThreads, kDim == 32 ? 2 : 1)
    forward_mma_kernel(const void* q, Rows q_rows, const Half* k, Rows k_rows, const Half* v, Rows v_rows,
                       const std::uint64_t* visible, const int* sees_any, const float* score_y, const float* score_x,
                       Grid grid, void* out, bool out_bf16, float* partial, float* stats, Shape shape) {
  VISAGE_SHARED(Tile<kDim>, keys, [2]);
  VISAGE_SHARED(Tile<kDim>, values, [2]);
  VISAGE_SHARED(Cells, cells, [2]);
  const Part part(shape, blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarpSize;
  const int first =
      static_cast<int>(blockIdx.y) * static_cast<int>(kAttentionMmaQueries) + warp * cuda::kMmaRows + lane / 4;
  RowTile<kDim> rows;
  rows.start(q, q_rows, shape, part, first, lane);
  const auto copy = [&](int tile, int stage) {
    copy_tile(k, k_rows, shape, part, tile, keys[stage]);
    copy_tile(v, v_rows, shape, part, tile, values[stage]);
    if (score_y) locate_keys(grid, shape, tile, cells[stage]);
  };
  copy(part.first_tile, 0);
  cuda::commit_copies();
  for (int tile = part.first_tile; tile < part.last_tile; ++tile) {
    const int stage = (tile - part.first_tile) % 2;
    if (tile + 1 < part.last_tile) copy(tile + 1, 1 - stage);
    cuda::commit_copies();
    cuda::wait_copies<1>();
    __syncthreads();
    // Read again when the scores are there: two words a lane are too many to keep.
    const auto seen = [&](int h) { return keys_seen(visible, sees_any, shape, part.n, first + 8 * h, tile); };
    if (__any_sync(cuda::kAllLanes, (seen(0) | seen(1)) != 0)) {
      float s[kKeyColumns][4];
      Terms<kPaired> terms(shape, part, first);
      const auto start = [&](int n, float(&column)[4]) {
        const int key = n * cuda::kMmaColumns + lane % 4 * 2;
        if (score_y) return terms.start(score_y, score_x, grid, cells[stage], key, column);
        for (float& value : column) value = 0;
      };
      rows.score(keys[stage], lane, start, s);
      mask_scores(seen, shape.scale * kLog2E, lane, s);
      rows.weigh(s);
      rows.add(s, values[stage], lane);
    }
    __syncthreads();  // before the next copy overwrites what a slower warp still reads
  }
  write_rows(rows, shape, part, first, lane, out, out_bf16, partial, stats);
}

template <int kDim, bool kPaired>
void launch_forward(const MaskedAttentionArgs& args, const AttentionScratch& scratch, StreamHandle stream) {
  const Shape shape = shape_of(args, scratch.partial, kDim);
  const dim3 grid(shape.blocks(), cuda::blocks_for(shape.queries, kAttentionMmaQueries));
  cuda::launch<forward_mma_kernel<kDim, kPaired>>(
      {grid, kMmaThreads, 0, stream}, args.q.data, rows_of(args.q, kDim), args.k.as<const Half>(),
      rows_of(args.k, kDim), args.v.as<const Half>(), rows_of(args.v, kDim), words_of(args, scratch),
      args.sees_any.as<const int>(), args.score_y.as<const float>(), args.score_x.as<const float>(), grid_of(args),
      args.out.data, args.out.dtype == DType::bf16, scratch.partial.as<float>(), scratch.stats.as<float>(), shape);
}

bool has_aligned_rows(const View& x) {
  return x.dtype == DType::bf16 && cuda::is_packet_aligned(x.data) && x.stride[0] % kChunk == 0 &&
         x.stride[1] % kChunk == 0;
}

}  // namespace

void forward_mma_cuda(const MaskedAttentionArgs& args, const AttentionScratch& scratch, StreamHandle stream) {
  const auto run = [&]<int kDim>() {
    if (grid_of(args).pairs)
      launch_forward<kDim, true>(args, scratch, stream);
    else
      launch_forward<kDim, false>(args, scratch, stream);
  };
  if (args.q.size[2] == 32 * args.heads)
    run.template operator()<32>();
  else
    run.template operator()<64>();
}

}  // namespace attention_detail

bool masked_attention_fits_mma(const MaskedAttentionArgs& args) {
  const std::int64_t dim = args.q.size[2] / args.heads;
  return (dim == 32 || dim == 64) && !args.lse && attention_detail::has_aligned_rows(args.k) &&
         attention_detail::has_aligned_rows(args.v);
}

}  // namespace visage::ops
