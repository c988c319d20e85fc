#pragma once
// A tile of cosine similarities, for the tracker step.
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

#include <cstdint>

namespace visage::ops {

// A block of eight warps owns a tile of 8 rows x 32 columns; thread t owns row t / 32 while rows are staged, and the
// pair (row, column) below while they are multiplied.
inline constexpr int kCosineRows = 8, kCosineColumns = 32, kCosineThreads = 256;

/// Shared memory of one tile: kDepth channels of its rows and of its columns at a time. The four words of padding put
/// the eight rows that eight lanes read together in different banks.
struct CosineStage {
  static constexpr int kDepth = 128, kPitch = kDepth + 4;
  float rows[kCosineRows][kPitch];
  float columns[kCosineColumns][kPitch];
  double row_scale[kCosineRows];  // 1 / |row|
};

/// Lanes lie 4 x 8 on the tile, so that a load of four channels by a warp touches four rows and eight columns.
__device__ __forceinline__ int cosine_pair_row() {
  return static_cast<int>(threadIdx.x) / 128 * 4 + static_cast<int>(threadIdx.x) % cuda::kWarpSize / 8;
}
__device__ __forceinline__ int cosine_pair_column() {
  return static_cast<int>(threadIdx.x) / cuda::kWarpSize % 4 * 8 + static_cast<int>(threadIdx.x) % 8;
}

/// Rows of a matrix [rows, depth]; those outside are zero.
struct MatrixRows {
  const float* data;
  std::int64_t rows;
  int depth;

  template <int kSize>
  __device__ void load(std::int64_t row, int d, float (&values)[kSize]) const {
    if (row < rows) return cuda::load_packet<kSize>(data + row * depth + d, values);
#pragma unroll
    for (float& value : values) value = 0;
  }
};

/// 1 / sqrt(squares), 0 for 0. The squares are summed in f64, so that no finite f32 row over- or underflows.
__device__ __forceinline__ double inverse_norm(double squares) { return squares > 0 ? 1 / sqrt(squares) : 0.0; }

template <int kSize>
__device__ __forceinline__ double squares_of(const float (&values)[kSize]) {
  double sum = 0;
#pragma unroll
  for (const float value : values) sum += static_cast<double>(value) * value;
  return sum;
}

/// weight * cos(row, column) of the calling thread's pair. All threads of the block take part; packets of kSize
/// channels must divide the depth and be aligned. `a.load<kSize>(row, d, values)` is called once for every packet of
/// the tile's rows, by a lane of the warp that owns the row.
/// The columns are brought to unit length before they are multiplied, the rows after: so the rows, which may be costly
/// to make (a read of the tracker's memory), are made once.
template <int kSize, class Rows>
__device__ float cosine_of_pair(const Rows& a, const MatrixRows& b, std::int64_t first_row, std::int64_t first_column,
                                float weight, CosineStage& stage) {
  constexpr int kWarps = kCosineThreads / cuda::kWarpSize, kStep = cuda::kWarpSize * kSize;
  static_assert(kCosineRows == kWarps && CosineStage::kDepth % kStep == 0);
  if (b.depth == 0) return 0;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / cuda::kWarpSize;
  float values[kSize];

  double column_scale[kCosineColumns / kWarps];
#pragma unroll
  for (int i = 0; i < kCosineColumns / kWarps; ++i) {
    double squares = 0;
    for (int d = lane * kSize; d < b.depth; d += kStep) {
      b.load<kSize>(first_column + warp + i * kWarps, d, values);
      squares += squares_of(values);
    }
    column_scale[i] = inverse_norm(cuda::warp_reduce(squares));
  }

  const int row = cosine_pair_row(), column = cosine_pair_column();
  double row_squares = 0;
  float dot = 0;
  for (int start = 0; start < b.depth; start += CosineStage::kDepth) {
    const int end = min(b.depth - start, CosineStage::kDepth);
    __syncthreads();  // the tile before has been read
    for (int d = lane * kSize; d < end; d += kStep) {
      a.template load<kSize>(first_row + warp, start + d, values);
      row_squares += squares_of(values);
      cuda::store_packet(stage.rows[warp] + d, values);
#pragma unroll
      for (int i = 0; i < kCosineColumns / kWarps; ++i) {
        b.load<kSize>(first_column + warp + i * kWarps, start + d, values);
#pragma unroll
        for (float& value : values) value = static_cast<float>(value * column_scale[i]);
        cuda::store_packet(stage.columns[warp + i * kWarps] + d, values);
      }
    }
    __syncthreads();
    for (int d = 0; d < end; d += kSize) {
      float x[kSize], y[kSize];
      cuda::load_packet<kSize>(stage.rows[row] + d, x);
      cuda::load_packet<kSize>(stage.columns[column] + d, y);
#pragma unroll
      for (int i = 0; i < kSize; ++i) dot += x[i] * y[i];
    }
  }
  const double scale = inverse_norm(cuda::warp_reduce(row_squares));
  if (lane == 0) stage.row_scale[warp] = scale;
  __syncthreads();
  return static_cast<float>(weight * stage.row_scale[row] * dot);
}

}  // namespace visage::ops
