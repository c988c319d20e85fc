#pragma once
// What the f32 attention kernels share: tiles of 64 rows in shared memory and products of two such tiles, spread over
// 128 threads. Thread t holds
//   of a tile of scores [query, key]:      queries 16 w + 4 r + g and keys p + 8 j,    r < 4, j < 8
//   of a tile of results [row, channel]:   the same queries, or keys 4 (t / 8) + r, and channels 4 p + c,   c < 4
// with warp w = t / 32, group g = t % 32 / 8, part p = t % 8. A warp's 16 queries are its own, so the softmax of a row
// takes shuffles among eight lanes. Operands are read as 16-byte vectors: the eight lanes of a group read the same row
// (a broadcast) or, since rows are kPitch apart, eight different groups of four banks.
#include "ops/attention/attention_problem.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops::attention_detail {

constexpr int kTileRows = kTileKeys;           // queries or keys of a tile
constexpr int kTileColumns = 32;               // channels
constexpr int kPitch = kTileColumns + 4;       // of tiles of channels
constexpr int kScorePitch = kTileRows + 8;     // of tiles of scores: the four groups of a warp write to different banks
constexpr int kTileSize = kTileRows * kPitch;  // floats
constexpr int kScoreTileSize = kTileRows * kScorePitch;
constexpr int kOwnRows = 4, kOwnKeys = 8, kOwnColumns = 4;

struct Lane {
  int warp, group, part, first_key;

  __device__ Lane() {
    const int thread = static_cast<int>(threadIdx.x);
    warp = thread / cuda::kWarpSize;
    group = thread % cuda::kWarpSize / 8;
    part = thread % 8;
    first_key = thread / 8 * kOwnRows;
  }
  __device__ int query(int r) const { return warp * 16 + r * 4 + group; }
  __device__ int key(int j) const { return part + 8 * j; }
  __device__ int column() const { return part * kOwnColumns; }
};

template <class T>
__device__ __forceinline__ void read_four(const T* from, bool vectors, int count, float (&values)[4]) {
  if (vectors) return cuda::load_packet(from, values);
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] = i < count ? cuda::to_float(from[i]) : 0.f;
}

/// tile [64, 32] = rows [first, first + 64) of image n, channels [32 chunk, 32 chunk + 32) of the head; zeros where
/// there is no such row or channel.
__device__ __forceinline__ void load_tile(const void* from, const Rows& rows, const Shape& shape, int n, int head,
                                          int chunk, int first, int count, float* tile) {
  constexpr int kVectors = kTileColumns / 4;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kTileRows * kVectors; i += kThreads) {
    const int row = i / kVectors, column = i % kVectors * 4;
    const int left = shape.dim - chunk * kTileColumns - column;
    float values[4] = {};
    if (first + row < count && left > 0) {
      const std::int64_t at =
          n * rows.batch_stride + (first + row) * rows.row_stride + head * shape.dim + chunk * kTileColumns + column;
      if (rows.bf16)
        read_four(static_cast<const __nv_bfloat16*>(from) + at, rows.vectors, left, values);
      else
        read_four(static_cast<const float*>(from) + at, rows.vectors, left, values);
    }
    cuda::store_packet(tile + row * kPitch + column, values);
  }
}

/// s[r][j] += a[query(r)] . b[key(j)]
__device__ __forceinline__ void add_scores(const float* a, const float* b, const Lane& lane,
                                           float (&s)[kOwnRows][kOwnKeys]) {
#pragma unroll 1
  for (int d = 0; d < kTileColumns; d += 4) {
    float left[kOwnRows][4];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) cuda::load_packet(a + lane.query(r) * kPitch + d, left[r]);
#pragma unroll
    for (int j = 0; j < kOwnKeys; ++j) {
      float right[4];
      cuda::load_packet(b + lane.key(j) * kPitch + d, right);
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r)
#pragma unroll
        for (int i = 0; i < 4; ++i) s[r][j] += left[r][i] * right[i];
    }
  }
}

/// o[r][c] += sum over keys t of scores[query(r)][t] * x[t][column() + c]
__device__ __forceinline__ void add_by_query(const float* scores, const float* x, const Lane& lane,
                                             float (&o)[kOwnRows][kOwnColumns]) {
#pragma unroll 1
  for (int t = 0; t < kTileRows; t += 4) {
    float weight[kOwnRows][4];
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) cuda::load_packet(scores + lane.query(r) * kScorePitch + t, weight[r]);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float value[kOwnColumns];
      cuda::load_packet(x + (t + i) * kPitch + lane.column(), value);
#pragma unroll
      for (int r = 0; r < kOwnRows; ++r)
#pragma unroll
        for (int c = 0; c < kOwnColumns; ++c) o[r][c] += weight[r][i] * value[c];
    }
  }
}

/// o[r][c] += sum over queries i of scores[i][first_key + r] * x[i][column() + c]
__device__ __forceinline__ void add_by_key(const float* scores, const float* x, const Lane& lane,
                                           float (&o)[kOwnRows][kOwnColumns]) {
#pragma unroll 4
  for (int i = 0; i < kTileRows; ++i) {
    float weight[kOwnRows], value[kOwnColumns];
    cuda::load_packet(scores + i * kScorePitch + lane.first_key, weight);
    cuda::load_packet(x + i * kPitch + lane.column(), value);
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r)
#pragma unroll
      for (int c = 0; c < kOwnColumns; ++c) o[r][c] += weight[r] * value[c];
  }
}

__device__ __forceinline__ void store_scores(const float (&s)[kOwnRows][kOwnKeys], const Lane& lane, float* scores) {
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r)
#pragma unroll
    for (int j = 0; j < kOwnKeys; ++j) scores[lane.query(r) * kScorePitch + lane.key(j)] = s[r][j];
}

/// Over the eight lanes that share a query.
template <class Op>
__device__ __forceinline__ float reduce_row(float value, Op op) {
#pragma unroll
  for (int distance = 4; distance > 0; distance /= 2)
    value = op(value, __shfl_xor_sync(cuda::kAllLanes, value, distance));
  return value;
}

}  // namespace visage::ops::attention_detail
