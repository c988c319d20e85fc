#pragma once
// Products of eight rows (or a few times eight) with many columns by one warp, x [rows, depth] times w [columns, depth]
// transposed, where w is streamed from memory straight into registers. The order of a sum over k is free, so a lane
// reads 16 neighbouring bytes of a column and takes them as its share of the fragments: no detour through shared
// memory, no barrier, and a column's bytes are read once by one lane. With g = lane / 4 and t = lane % 4:
//
//   bf16  mma.m16n8k16 with the columns as its 16 rows: a step is 32 of depth, of which lane (g, t) has 8t .. 8t + 7
//   f32   multiply-adds of the eight rows: a step is 16 of depth, of which lane (g, t) has 4t .. 4t + 3
#include "tensor/cuda/mma.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::row_products {

constexpr int kRows = 8;
constexpr int kTileColumns = 8;

/// 16 bytes of a row or column.
template <class T>
using Chunk = cuda::Packet<T, cuda::kPacketSize<T>>;

/// Elements [0, left) at `from`, then zeros. With `vectors`, `from` is aligned to 16 bytes and `left` is a multiple of
/// a chunk.
template <class T>
__device__ __forceinline__ Chunk<T> load_chunk(const T* from, int left, bool vectors) {
  constexpr int kSize = cuda::kPacketSize<T>;
  if (vectors && left > 0) return *reinterpret_cast<const Chunk<T>*>(from);
  Chunk<T> chunk;
#pragma unroll
  for (int i = 0; i < kSize; ++i) chunk.element[i] = i < left ? from[i] : cuda::from_float<T>(0);
  return chunk;
}

/// Two neighbouring elements of a chunk as a register of mma.
__device__ __forceinline__ unsigned pair_of(const Chunk<__nv_bfloat16>& chunk, int pair) {
  return reinterpret_cast<const unsigned*>(&chunk)[pair];
}

/// The sums of a lane: columns 8 j + g and rows 2t + i at [j][i], which are what mma leaves it.
template <int kTiles>
using Sums = float[kTiles][2];

/// Products in bf16, sums in f32.
template <int kTiles>
struct TensorCores {
  Sums<kTiles> sums = {};

  template <class Row>
  __device__ __forceinline__ void add(Row row, int lane, const Chunk<__nv_bfloat16> (&columns)[kTiles]) {
    static_assert(kTiles % 2 == 0);
    const Chunk<__nv_bfloat16> x = row(lane / 4);
#pragma unroll
    for (int j = 0; j < kTiles; j += 2) {
      float d[4] = {sums[j][0], sums[j][1], sums[j + 1][0], sums[j + 1][1]};
#pragma unroll
      for (int pair = 0; pair < 4; pair += 2) {
        const unsigned a[4] = {pair_of(columns[j], pair), pair_of(columns[j + 1], pair), pair_of(columns[j], pair + 1),
                               pair_of(columns[j + 1], pair + 1)};
        cuda::mma<__nv_bfloat16>(d, a, {pair_of(x, pair), pair_of(x, pair + 1)});
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[j + i / 2][i % 2] = d[i];
    }
  }
  __device__ void finish(int, Sums<kTiles>& to) const {
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int i = 0; i < 2; ++i) to[j][i] = sums[j][i];
  }
};

/// Products and sums in f32. A lane gathers its quarter of the depth for all eight rows; the four lanes of a column
/// then exchange halves twice, so that each ends with the sums of two rows.
template <int kTiles>
struct MultiplyAdds {
  float all[kRows][kTiles] = {};

  template <class Row>
  __device__ __forceinline__ void add(Row row, int, const Chunk<float> (&columns)[kTiles]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const Chunk<float> x = row(r);
#pragma unroll
      for (int j = 0; j < kTiles; ++j)
#pragma unroll
        for (int i = 0; i < cuda::kPacketSize<float>; ++i) all[r][j] += x.element[i] * columns[j].element[i];
    }
  }
  __device__ __forceinline__ void finish(int lane, Sums<kTiles>& to) const {
    const bool upper = lane & 2, odd = lane & 1;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      float half[kRows / 2];
#pragma unroll
      for (int r = 0; r < kRows / 2; ++r) {
        const float sent = upper ? all[r][j] : all[r + 4][j];
        half[r] = (upper ? all[r + 4][j] : all[r][j]) + __shfl_xor_sync(cuda::kAllLanes, sent, 2);
      }
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float sent = odd ? half[r] : half[r + 2];
        to[j][r] = (odd ? half[r + 2] : half[r]) + __shfl_xor_sync(cuda::kAllLanes, sent, 1);
      }
    }
  }
};

/// sums[m] = rows 8m to 8m + 7 * columns over `depth`. row(r, k) and column(j, k) give the chunk that begins at k of
/// row r and of column 8 j + g, zeros beyond the depth. kAhead steps of the columns are on their way together, since
/// reading them from the L2 cache is what all this waits for.
template <class T, int kAhead, int kTiles, int kRowTiles, class Row, class Column>
__device__ __forceinline__ void multiply(int depth, int lane, Row row, Column column, Sums<kTiles> (&sums)[kRowTiles]) {
  constexpr int kSize = cuda::kPacketSize<T>, kStep = 4 * kSize;
  using Engine = std::conditional_t<std::is_same_v<T, float>, MultiplyAdds<kTiles>, TensorCores<kTiles>>;
  Engine engines[kRowTiles] = {};
  for (int first = 0; first < depth; first += kAhead * kStep) {
    Chunk<T> columns[kAhead][kTiles];
#pragma unroll
    for (int s = 0; s < kAhead; ++s)
#pragma unroll
      for (int j = 0; j < kTiles; ++j) columns[s][j] = column(j, first + s * kStep + lane % 4 * kSize);
#pragma unroll
    for (int s = 0; s < kAhead; ++s)
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m)
        engines[m].add([&](int r) { return row(m * kRows + r, first + s * kStep + lane % 4 * kSize); }, lane,
                       columns[s]);
  }
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) engines[m].finish(lane, sums[m]);
}

}  // namespace visage::ops::row_products
