#pragma once
// What all attention kernels share: the problem, the part of it that a block owns, masks and grids.
#include "ops/attention/masked_attention_kernels.h"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::attention_detail {

constexpr int kThreads = 128;
constexpr int kTileKeys = 64;  // a word of the masks
constexpr float kLog2E = 1.44269504f;
constexpr float kLowest = -1e30f;  // stands for minus infinity without turning differences into NaN

/// Where the rows of a [N, rows, C] tensor lie, and how they are read. Kernels get the pointer beside it.
struct Rows {
  std::int64_t batch_stride, row_stride;
  bool bf16;
  bool vectors;  // four elements of a head at a time
};

struct Shape {
  int batch, queries, keys, heads, dim;
  int chunks;  // parts of a head's channels that blocks own
  int splits;  // of the keys
  float scale;

  __host__ __device__ int channels() const { return heads * dim; }
  __host__ __device__ int key_tiles() const { return (keys + kTileKeys - 1) / kTileKeys; }
  unsigned blocks() const { return static_cast<unsigned>(batch * heads * chunks * splits); }
  __device__ std::int64_t score_row(int n, int head, int query) const {
    return (std::int64_t{n} * heads + head) * queries + query;
  }
};

/// The part that one of Shape::blocks() blocks owns.
struct Part {
  int split, chunk, head, n;
  int first_tile, last_tile;  // of the keys

  __device__ Part(const Shape& shape, unsigned block) {
    split = static_cast<int>(block % shape.splits);
    block /= shape.splits;
    chunk = static_cast<int>(block % shape.chunks);
    block /= shape.chunks;
    head = static_cast<int>(block % shape.heads);
    n = static_cast<int>(block / shape.heads);
    first_tile = static_cast<int>(std::int64_t{shape.key_tiles()} * split / shape.splits);
    last_tile = static_cast<int>(std::int64_t{shape.key_tiles()} * (split + 1) / shape.splits);
  }
};

/// The keys of a tile that a query sees, one bit each: those of `visible`, or all there are without a mask and where
/// `sees_any`, if there is one, says that the row of the mask is empty. A query that does not exist sees none.
__device__ __forceinline__ std::uint64_t keys_seen(const std::uint64_t* visible, const int* sees_any,
                                                   const Shape& shape, int n, int query, int tile) {
  if (query >= shape.queries) return 0;
  const int row = n * shape.queries + query;
  if (visible) {
    const std::uint64_t word = visible[std::int64_t{row} * shape.key_tiles() + tile];
    const bool opened = sees_any && sees_any[row] == 0;
    if (!opened) return word;
  }
  const int left = shape.keys - tile * kTileKeys;
  return left >= kTileKeys ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
}

/// Size of the grid that the keys lie on, where there are score terms for its rows and columns.
struct Grid {
  int height, width;
  bool pairs;  // an even key and the next lie in one row, and their terms for the column on 8 aligned bytes
};

/// Row and column of each key of a tile, found by the block's first 64 threads.
using Cells = int[2][kTileKeys];
__device__ __forceinline__ void locate_keys(const Grid& grid, const Shape& shape, int tile, Cells& cells) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= kTileKeys) return;
  const int number = tile * kTileKeys + thread;
  const int key = number < shape.keys ? number : number % 2 % shape.keys;  // one that exists; pairs stay pairs
  cells[0][thread] = key / grid.width;
  cells[1][thread] = key % grid.width;
}

/// Leaves what a split knows of a row: its highest score and the sum of its weights. `stats` [2, splits, N, heads, Q].
__device__ __forceinline__ void write_stats(float* stats, const Shape& shape, int split, std::int64_t row, float top,
                                            float sum) {
  const std::int64_t rows = std::int64_t{shape.batch} * shape.heads * shape.queries;
  stats[split * rows + row] = top;
  stats[(shape.splits + split) * rows + row] = sum;
}

inline Grid grid_of(const MaskedAttentionArgs& args) {
  if (!args.score_y) return {0, 0, false};
  const auto height = static_cast<int>(args.score_y.size[3]), width = static_cast<int>(args.score_x.size[3]);
  return {height, width, width % 2 == 0 && reinterpret_cast<std::uintptr_t>(args.score_x.data) % 8 == 0};
}

inline Rows rows_of(const View& x, std::int64_t dim) {
  const bool bf16 = x.dtype == DType::bf16;
  const std::uintptr_t bytes = bf16 ? 8 : 16;
  const bool vectors = dim % 4 == 0 && x.stride[0] % 4 == 0 && x.stride[1] % 4 == 0 &&
                       reinterpret_cast<std::uintptr_t>(x.data) % bytes == 0;
  return {x.stride[0], x.stride[1], bf16, vectors};
}

/// The words of the mask that the forward reads, or null.
inline const std::uint64_t* words_of(const MaskedAttentionArgs& args, const AttentionScratch& scratch) {
  return (args.sees_any ? args.allowed : scratch.visible).as<const std::uint64_t>();
}

/// The problem for blocks that own `block_channels` channels of a head.
inline Shape shape_of(const MaskedAttentionArgs& args, const View& partial, int block_channels) {
  const int heads = static_cast<int>(args.heads), dim = static_cast<int>(args.q.size[2]) / heads;
  return {static_cast<int>(args.q.size[0]),
          static_cast<int>(args.q.size[1]),
          static_cast<int>(args.k.size[1]),
          heads,
          dim,
          (dim + block_channels - 1) / block_channels,
          partial ? static_cast<int>(partial.size[0]) : 1,
          args.scale};
}

/// Launch parts of masked_attention_cuda and masked_attention_backward_cuda.
void visible_keys_cuda(const MaskedAttentionArgs& args, const View& visible, StreamHandle stream);
void forward_mma_cuda(const MaskedAttentionArgs& args, const AttentionScratch& scratch, StreamHandle stream);

}  // namespace visage::ops::attention_detail
