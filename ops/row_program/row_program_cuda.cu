// Row programs on the GPU: one kernel interprets the list of steps, which is its argument. What one step leaves for the
// next stays in shared memory, so a chain of products and norms over the few rows of a decoder is one launch and not
// one a step. Bound by streaming the weights from the L2 cache into the few multiprocessors that have rows (64 bytes a
// cycle each), in f32 as much by multiply-adds: branches exist to share the weights out. Not yet run or timed on a GPU.
#include "ops/row_program/row_products.cuh"
#include "ops/row_program/row_program_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops::row_program_detail {
namespace {

using row_products::Chunk;
using row_products::kTileColumns;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / cuda::kWarpSize;
constexpr int kTiles = 4, kUnitColumns = kTiles * kTileColumns;  // columns of a warp's product
constexpr int kNarrow = 4;  // maps to fewer columns than this are dot products of a warp and a row
static_assert(sizeof(Program) <= 4000, "arguments of a launch: 4096 bytes");

/// The rows of a block.
template <int kRowTiles>
struct Tile {
  static constexpr int kTiles = kRowTiles, kRows = kRowTiles * row_products::kRows;
  int first, rows, queries;
  float* shared;

  __device__ bool has(int row) const { return first + row < rows; }
  __device__ int image(int row) const { return (first + row) / queries; }
  __device__ int query(int row) const { return (first + row) % queries; }
  /// A row of a value.
  __device__ float* at(const Slot& slot, int row) const {
    return shared + slot.at * kRows + row * slot.pitch + slot.column;
  }
};

/// Calls use(row, column) for kSize neighbouring columns at a time, lanes side by side.
template <int kSize, class Use>
__device__ __forceinline__ void for_elements(int rows, int columns, Use use) {
  const int packets = columns / kSize;
  for (int i = static_cast<int>(threadIdx.x); i < rows * packets; i += kThreads) use(i / packets, i % packets * kSize);
}

/// to = sum of the parts of `data`; zeros in rows that do not exist.
template <class T, int kSize, class Tile>
__device__ __forceinline__ void load(const Step& step, const Tile& tile) {
  const T* const data = static_cast<const T*>(step.data);
  for_elements<kSize>(Tile::kRows, step.columns, [&](int row, int column) {
    float sum[kSize] = {};
    if (tile.has(row)) {
      const T* const from = data + (step.repeated ? tile.query(row) : tile.first + row) * step.pitch + column;
#pragma unroll 4
      for (int part = 0; part < step.parts; ++part) {
        float values[kSize];
        cuda::load_packet(from + part * step.part_stride, values);
#pragma unroll
        for (int i = 0; i < kSize; ++i) sum[i] += values[i];
      }
    }
    cuda::store_packet(tile.at(step.to, row) + column, sum);
  });
}

/// to = the result of an attention in `parts` splits (AttentionParts); a packet lies in one of the `groups` heads.
template <int kSize, class Tile>
__device__ __forceinline__ void combine(const Step& step, const Tile& tile) {
  const float* const data = static_cast<const float*>(step.data);
  const int dim = step.columns / step.groups;
  const std::int64_t rows = std::int64_t{tile.rows} * step.groups;
  for_elements<kSize>(Tile::kRows, step.columns, [&](int row, int column) {
    float result[kSize] = {};
    if (tile.has(row)) {
      const float* const tops =
          step.bias + (std::int64_t{tile.image(row)} * step.groups + column / dim) * tile.queries + tile.query(row);
      const float* const sums = tops + step.parts * rows;
      float top = tops[0];
      for (int s = 1; s < step.parts; ++s) top = fmaxf(top, tops[s * rows]);
      float total = 0;
#pragma unroll 4
      for (int s = 0; s < step.parts; ++s) {
        const float keep = exp2f(tops[s * rows] - top);
        float values[kSize];
        cuda::load_packet(data + s * step.part_stride + (tile.first + row) * step.pitch + column, values);
        total += keep * sums[s * rows];
#pragma unroll
        for (int i = 0; i < kSize; ++i) result[i] += keep * values[i];
      }
#pragma unroll
      for (float& value : result) value /= total;
    }
    cuda::store_packet(tile.at(step.to, row) + column, result);
  });
}

template <class T, int kSize, class Tile>
__device__ __forceinline__ void store(const Step& step, const Tile& tile) {
  T* const out = static_cast<T*>(step.out);
  for_elements<kSize>(Tile::kRows, step.columns, [&](int row, int column) {
    if (!tile.has(row)) return;
    float values[kSize];
    cuda::load_packet(tile.at(step.from, row) + column, values);
    cuda::store_packet(out + (tile.first + row) * step.out_row + column, values);
  });
}

/// Calls use(row, lane) for the rows of a warp: every eighth.
template <class Tile, class Use>
__device__ __forceinline__ void for_rows(const Tile&, Use use) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  for (int row = static_cast<int>(threadIdx.x) / cuda::kWarpSize; row < Tile::kRows; row += kWarps) use(row, lane);
}

/// A warp normalises a row, as layer_norm does.
template <class Tile>
__device__ __forceinline__ void norm(const Step& step, const Tile& tile, int row, int lane) {
  const float* const from = tile.at(step.from, row);
  const float* const added = step.added.pitch ? tile.at(step.added, row) : nullptr;
  const float* const weight = static_cast<const float*>(step.data);
  float* const to = tile.at(step.to, row);
  const auto value = [&](int c) { return added ? from[c] + added[c] : from[c]; };
  float sum = 0, squares = 0;
  for (int c = lane; c < step.columns; c += cuda::kWarpSize) sum += value(c);
  const float mean = cuda::warp_reduce(sum) / static_cast<float>(step.columns);
  for (int c = lane; c < step.columns; c += cuda::kWarpSize) squares += (value(c) - mean) * (value(c) - mean);
  const float rstd = rsqrtf(cuda::warp_reduce(squares) / static_cast<float>(step.columns) + step.eps);
  for (int c = lane; c < step.columns; c += cuda::kWarpSize)
    to[c] = (value(c) - mean) * rstd * weight[c] + step.bias[c];
}

/// Bias, activation and destinations of one element of a linear map.
template <class Tile>
__device__ __forceinline__ void finish(const Step& step, const Tile& tile, int row, int group, int column, float sum) {
  if (column >= step.columns) return;
  if (!tile.has(row)) {  // what follows may read it
    if (step.to.pitch) tile.at(step.to, row)[column] = 0;
    return;
  }
  if (step.bias) sum += step.bias[step.row_bias ? tile.query(row) * step.columns + column : column];
  if (step.relu) sum = fmaxf(sum, 0.f);
  if (step.to.pitch) tile.at(step.to, row)[column] = sum;
  if (!step.out) return;
  const std::int64_t at =
      tile.image(row) * step.out_image + group * step.out_group + tile.query(row) * step.out_row + column;
  if (step.out_dtype == DType::bf16)
    static_cast<__nv_bfloat16*>(step.out)[at] = cuda::from_float<__nv_bfloat16>(sum);
  else
    static_cast<float*>(step.out)[at] = sum;
}

/// The chunk of a row of x that begins at k, rounded to T.
template <class T>
__device__ __forceinline__ Chunk<T> chunk_of(const float* x, int left, bool vectors) {
  constexpr int kSize = cuda::kPacketSize<T>, kStep = cuda::kPacketSize<float>;
  Chunk<T> chunk;
#pragma unroll
  for (int i = 0; i < kSize; i += kStep) {
    const Chunk<float> part = row_products::load_chunk(x + i, left - i, vectors);
#pragma unroll
    for (int j = 0; j < kStep; ++j) chunk.element[i + j] = cuda::from_float<T>(part.element[j]);
  }
  return chunk;
}

/// A warp takes 32 columns of a group at a time (row_products.cuh).
template <class T, bool kVectors, class Tile>
__device__ __forceinline__ void linear(const Step& step, const Tile& tile) {
  constexpr int kAhead = !kVectors ? 1 : std::is_same_v<T, float> ? 4 / Tile::kTiles : 4;  // as registers allow
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int units = (step.columns + kUnitColumns - 1) / kUnitColumns;
  for (int unit = static_cast<int>(threadIdx.x) / cuda::kWarpSize; unit < step.groups * units; unit += kWarps) {
    const int group = unit / units, first = unit % units * kUnitColumns + lane / 4;
    const T* const weights = static_cast<const T*>(step.data) + group * step.depth;
    row_products::Sums<kTiles> sums[Tile::kTiles];
    row_products::multiply<T, kAhead>(
        step.depth, lane,
        [&](int row, int k) {
          return chunk_of<T>(tile.at(step.from, row) + group * step.depth + k, step.depth - k, kVectors);
        },
        [&](int j, int k) {
          const int column = first + j * kTileColumns;
          return row_products::load_chunk(weights + column * step.pitch + k, column < step.columns ? step.depth - k : 0,
                                          kVectors);
        },
        sums);
#pragma unroll
    for (int m = 0; m < Tile::kTiles; ++m)
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          finish(step, tile, m * row_products::kRows + lane % 4 * 2 + i, group, first + j * kTileColumns,
                 sums[m][j][i]);
  }
}

/// A map to so few columns that warps would be idle: each takes a row instead.
template <class T, class Tile>
__device__ __forceinline__ void narrow_linear(const Step& step, const Tile& tile, int row, int lane) {
  const float* const x = tile.at(step.from, row);
  for (int column = 0; column < step.columns; ++column) {
    const T* const weights = static_cast<const T*>(step.data) + column * step.pitch;
    float sum = 0;
#pragma unroll 8
    for (int k = lane; k < step.depth; k += cuda::kWarpSize)
      sum += cuda::to_float(cuda::from_float<T>(x[k])) * cuda::to_float(weights[k]);
    sum = cuda::warp_reduce(sum);
    if (lane == 0) finish(step, tile, row, 0, column, sum);
  }
}

template <class T, class Tile>
__device__ __forceinline__ void take(const Step& step, const Tile& tile) {
  if (step.kind == Step::Kind::load)
    step.vectors ? load<T, 4>(step, tile) : load<T, 1>(step, tile);
  else if (step.groups == 1 && step.columns < kNarrow)
    for_rows(tile, [&](int row, int lane) { narrow_linear<T>(step, tile, row, lane); });
  else if (step.vectors)
    linear<T, true>(step, tile);
  else
    linear<T, false>(step, tile);
}

template <class Tile>
__device__ __forceinline__ void take(const Step& step, const Tile& tile) {
  if (step.kind == Step::Kind::norm) return for_rows(tile, [&](int row, int lane) { norm(step, tile, row, lane); });
  if (step.kind == Step::Kind::combine) return step.vectors ? combine<4>(step, tile) : combine<1>(step, tile);
  if (step.kind == Step::Kind::store) {
    if (step.out_dtype == DType::bf16)
      return step.vectors ? store<__nv_bfloat16, 4>(step, tile) : store<__nv_bfloat16, 1>(step, tile);
    return step.vectors ? store<float, 4>(step, tile) : store<float, 1>(step, tile);
  }
  if (step.dtype == DType::bf16) return take<__nv_bfloat16>(step, tile);
  take<float>(step, tile);
}

/// Mapping: block (x, y) takes eight or sixteen rows through the steps that all branches share and those of branch y;
/// all its threads do one step, and the next one begins when it is done. Norms: a warp a row. Linear maps: a warp 32
/// columns of all the rows. Shared memory: the values of the program, 8.1 KiB for eight rows of 256 columns. The
/// pointers among the steps are not arguments of their own, since there are too many.
template <int kRowTiles>
__global__ void __launch_bounds__(kThreads, 1) row_program_kernel(const __grid_constant__ Program program) {
  VISAGE_DYNAMIC_SHARED(float, shared);
  using Rows = Tile<kRowTiles>;
  const Rows tile{static_cast<int>(blockIdx.x) * Rows::kRows, program.images * program.queries, program.queries,
                  shared};
  const int branch = static_cast<int>(blockIdx.y);
  for (int i = 0; i < program.count; ++i) {
    const Step& step = program.steps[i];
    if (step.branch != kEveryBranch && step.branch != branch) continue;
    take(step, tile);
    __syncthreads();
  }
}

}  // namespace

void run_cuda(const Program& program, StreamHandle stream) {
  const std::int64_t rows = std::int64_t{program.images} * program.queries;
  if (rows == 0) return;
  const int block_rows = program.row_tiles * row_products::kRows;
  const dim3 grid(cuda::blocks_for(rows, block_rows), static_cast<unsigned>(program.branches));
  const cuda::LaunchShape shape(grid, kThreads, block_rows * program.row_floats * sizeof(float), stream);
  if (program.row_tiles == 2)
    cuda::launch<row_program_kernel<2>>(shape, program);
  else
    cuda::launch<row_program_kernel<1>>(shape, program);
}

}  // namespace visage::ops::row_program_detail
