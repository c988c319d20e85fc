// What the backward functions of the ops share, on the GPU. All kernels are bound by memory bandwidth: every element is
// read and written once, 16 bytes at a time where layout and alignment allow. Compiled for sm_80 and sm_90 and run on
// the host against the CPU code; not yet run or timed on a GPU.
#include "ops/gradient/gradient_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::gradient_detail {
namespace {

using cuda::kPacketSize;
using cuda::kWarpSize;
using cuda::load_packet;
using cuda::write_gradient;

constexpr int kThreads = 256;
constexpr int kTile = 32, kTileRows = 8;

/// Elements of the wider type in 16 bytes: what a thread moves at once between two types.
template <class From, class To>
inline constexpr int kCommonPacket = kPacketSize<From> < kPacketSize<To> ? kPacketSize<From> : kPacketSize<To>;

/// The axes along which two tensors of one size are walked together, the last one fastest. Strides in elements.
struct Walk {
  int rank = 0;
  std::int64_t size[kMaxRank];
  std::int64_t from_stride[kMaxRank];
  std::int64_t to_stride[kMaxRank];

  void append(std::int64_t count, std::int64_t from, std::int64_t to) {
    size[rank] = count;
    from_stride[rank] = from;
    to_stride[rank++] = to;
  }
};

/// Without axes of one element, and with neighbours merged that are one axis to both tensors: dense tensors have one.
Walk make_walk(const View& from, const View& to) {
  Walk walk;
  for (int axis = 0; axis < from.size.rank; ++axis) {
    const std::int64_t size = from.size[axis], from_stride = from.stride[axis], to_stride = to.stride[axis];
    if (size == 1) continue;
    const int last = walk.rank - 1;
    if (last >= 0 && walk.from_stride[last] == size * from_stride && walk.to_stride[last] == size * to_stride) {
      walk.size[last] *= size;
      walk.from_stride[last] = from_stride;
      walk.to_stride[last] = to_stride;
    } else {
      walk.append(size, from_stride, to_stride);
    }
  }
  if (walk.rank == 0) walk.append(1, 1, 1);
  return walk;
}

struct Offsets {
  std::int64_t from = 0, to = 0;
};

/// Where the element with the row-major number `index` lies.
__device__ __forceinline__ Offsets offsets_of(const Walk& walk, std::int64_t index) {
  Offsets at;
  for (int axis = walk.rank - 1; axis > 0; --axis) {
    const std::int64_t next = index / walk.size[axis], coordinate = index - next * walk.size[axis];
    at.from += coordinate * walk.from_stride[axis];
    at.to += coordinate * walk.to_stride[axis];
    index = next;
  }
  at.from += index * walk.from_stride[0];
  at.to += index * walk.to_stride[0];
  return at;
}

template <class From, class To, int kSize>
__device__ __forceinline__ void accumulate_packet(const From* from, To* to, float factor, float beta) {
  float values[kSize];
  load_packet<kSize>(from, values);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] *= factor;
  write_gradient(to, beta, values);
}

/// Mapping: a thread owns kSize neighbours on the last axis. Shared memory: none.
/// Packets (kSize > 1) need unit strides there, and either a walk of one axis or strides and a length in packets.
template <class From, class To, int kSize>
__global__ void __launch_bounds__(kThreads)
    accumulate_kernel(const From* from, To* to, Walk walk, std::int64_t count, float factor, float beta) {
  const std::int64_t index = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize;
  if (index >= count) return;
  const Offsets at = offsets_of(walk, index);
  if (index + kSize <= count) return accumulate_packet<From, To, kSize>(from + at.from, to + at.to, factor, beta);
  for (int i = 0; i < count - index; ++i)  // the end of a dense tensor
    accumulate_packet<From, To, 1>(from + at.from + i, to + at.to + i, factor, beta);
}

/// Two axes of which one is dense in `from`, the other in `to`; the rest is walked tile after tile.
struct Transposition {
  Walk outer;
  std::int64_t rows, to_row_stride;          // dense in `from`
  std::int64_t columns, from_column_stride;  // dense in `to`
  std::int64_t row_tiles, column_tiles;
};

/// Mapping: a block owns a tile of 32 x 32 elements; a warp reads 32 neighbours of `from` and, after the exchange in
/// shared memory (4224 bytes, a column of padding against bank conflicts), writes 32 neighbours of `to`.
template <class From, class To>
__global__ void __launch_bounds__(kTile* kTileRows)
    transpose_kernel(const From* from, To* to, Transposition shape, float factor, float beta) {
  VISAGE_SHARED(float, tile, [kTile][kTile + 1]);
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const std::int64_t column_tile = blockIdx.x % shape.column_tiles, rest = blockIdx.x / shape.column_tiles;
  const std::int64_t first_column = column_tile * kTile, first_row = rest % shape.row_tiles * kTile;
  const Offsets at = offsets_of(shape.outer, rest / shape.row_tiles);
#pragma unroll
  for (int i = y; i < kTile; i += kTileRows) {
    const std::int64_t row = first_row + x, column = first_column + i;
    if (row < shape.rows && column < shape.columns)
      tile[i][x] = cuda::to_float(from[at.from + row + column * shape.from_column_stride]);
  }
  __syncthreads();
#pragma unroll
  for (int i = y; i < kTile; i += kTileRows) {
    const std::int64_t row = first_row + i, column = first_column + x;
    if (row >= shape.rows || column >= shape.columns) continue;
    const float value[1] = {factor * tile[x][i]};
    write_gradient(to + at.to + row * shape.to_row_stride + column, beta, value);
  }
}

/// The axis that makes a tiled transposition worth its while, or -1.
int transposed_axis(const Walk& walk) {
  const int last = walk.rank - 1;
  if (walk.to_stride[last] != 1 || walk.from_stride[last] <= 1 || walk.size[last] < kTile / 4) return -1;
  for (int axis = 0; axis < last; ++axis)
    if (walk.from_stride[axis] == 1 && walk.size[axis] >= kTile / 4) return axis;
  return -1;
}

bool in_packets(const Walk& walk, int packet, const void* from, const void* to) {
  const int last = walk.rank - 1;
  bool result = walk.from_stride[last] == 1 && walk.to_stride[last] == 1 && cuda::is_packet_aligned(from) &&
                cuda::is_packet_aligned(to) && (walk.rank == 1 || walk.size[last] % packet == 0);
  for (int axis = 0; axis < last; ++axis)
    result = result && walk.from_stride[axis] % packet == 0 && walk.to_stride[axis] % packet == 0;
  return result;
}

template <class From, class To>
void transpose(const Accumulate& a, const Walk& walk, int row_axis, StreamHandle stream) {
  const int last = walk.rank - 1;
  Transposition shape{};
  std::int64_t outer = 1;
  for (int axis = 0; axis < last; ++axis) {
    if (axis == row_axis) continue;
    shape.outer.append(walk.size[axis], walk.from_stride[axis], walk.to_stride[axis]);
    outer *= walk.size[axis];
  }
  if (shape.outer.rank == 0) shape.outer.append(1, 0, 0);
  shape.rows = walk.size[row_axis];
  shape.to_row_stride = walk.to_stride[row_axis];
  shape.columns = walk.size[last];
  shape.from_column_stride = walk.from_stride[last];
  shape.row_tiles = cuda::blocks_for(shape.rows, kTile);
  shape.column_tiles = cuda::blocks_for(shape.columns, kTile);
  const unsigned blocks = static_cast<unsigned>(outer * shape.row_tiles * shape.column_tiles);
  cuda::launch<transpose_kernel<From, To>>({blocks, dim3(kTile, kTileRows), 0, stream}, a.from.as<const From>(),
                                           a.gradient.to.as<To>(), shape, a.factor, a.gradient.beta);
}

template <class From, class To>
void accumulate(const Accumulate& a, StreamHandle stream) {
  const Walk walk = make_walk(a.from, a.gradient.to);
  const int row_axis = transposed_axis(walk);
  if (row_axis >= 0) return transpose<From, To>(a, walk, row_axis, stream);
  const std::int64_t count = a.from.size.numel();
  const auto launch = [&]<int kSize>() {
    cuda::launch<accumulate_kernel<From, To, kSize>>({cuda::blocks_for(count, kThreads * kSize), kThreads, 0, stream},
                                                     a.from.as<const From>(), a.gradient.to.as<To>(), walk, count,
                                                     a.factor, a.gradient.beta);
  };
  constexpr int kPacket = kCommonPacket<From, To>;
  if (in_packets(walk, kPacket, a.from.data, a.gradient.to.data)) return launch.template operator()<kPacket>();
  launch.template operator()<1>();
}

/// to[s, c] = beta * to + sum of from[r, c] over the rows of slice s = blockIdx.y, interleaved with those of the
/// others. Mapping: a warp covers 32 packets of one row, the warps of a block every blockDim.y-th row of the slice;
/// then the first warp adds up the sums of the warps. No atomics: the order of summation depends on the shape alone.
/// Shared memory: at most 8 KiB. Packets need columns in packets.
template <class From, class To, int kSize>
__global__ void __launch_bounds__(kWarpSize* kTileRows)
    sum_rows_kernel(const From* from, To* to, std::int64_t rows, std::int64_t columns, float beta) {
  VISAGE_SHARED(float, sums, [kTileRows][kSize][kWarpSize]);
  const int lane = static_cast<int>(threadIdx.x), warp = static_cast<int>(threadIdx.y);
  const int warps = static_cast<int>(blockDim.y);
  const std::int64_t column = (blockIdx.x * std::int64_t{kWarpSize} + lane) * kSize;
  float total[kSize] = {};
  if (column < columns) {
    const std::int64_t step = std::int64_t{warps} * gridDim.y;
#pragma unroll 4
    for (std::int64_t row = blockIdx.y * std::int64_t{warps} + warp; row < rows; row += step) {
      float values[kSize];
      load_packet<kSize>(from + row * columns + column, values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) total[i] += values[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kSize; ++i) sums[warp][i][lane] = total[i];
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  for (int other = 1; other < warps; ++other) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) total[i] += sums[other][i][lane];
  }
  write_gradient(to + blockIdx.y * columns + column, beta, total);
}

template <class From, class To>
void sum_slices(const From* from, To* to, std::int64_t rows, std::int64_t columns, std::int64_t slices, float beta,
                StreamHandle stream) {
  const auto warps = static_cast<unsigned>(max(std::int64_t{1}, min(rows, std::int64_t{kTileRows})));
  const auto launch = [&]<int kSize>() {
    const dim3 grid(cuda::blocks_for(columns, kWarpSize * kSize), static_cast<unsigned>(slices));
    cuda::launch<sum_rows_kernel<From, To, kSize>>({grid, dim3(kWarpSize, warps), 0, stream}, from, to, rows, columns,
                                                   beta);
  };
  constexpr int kPacket = kCommonPacket<From, To>;
  if (columns % kPacket == 0 && cuda::is_packet_aligned(from) && cuda::is_packet_aligned(to))
    launch.template operator()<kPacket>();
  else
    launch.template operator()<1>();
}

template <class From, class To>
void sum_rows(const SumRows& a, StreamHandle stream) {
  const std::int64_t columns = a.gradient.to.size.numel(), rows = a.from.size.numel() / columns;
  const std::int64_t slices = slices_for(rows, columns);
  const From* from = a.from.as<const From>();
  To* to = a.gradient.to.as<To>();
  if (slices == 1) return sum_slices(from, to, rows, columns, 1, a.gradient.beta, stream);
  float* partial = a.partial.as<float>();
  sum_slices(from, partial, rows, columns, slices, 0, stream);
  sum_slices(static_cast<const float*>(partial), to, slices, columns, 1, a.gradient.beta, stream);
}

template <class T, class To, int kSize>
__device__ __forceinline__ void relu_packet(const T* gy, const T* y, To* to, float beta) {
  float values[kSize], result[kSize];
  load_packet<kSize>(gy, values);
  load_packet<kSize>(y, result);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = result[i] > 0 ? values[i] : 0.f;
  write_gradient(to, beta, values);
}

/// Mapping: a thread owns kSize elements. Shared memory: none.
template <class T, class To, int kSize>
__global__ void __launch_bounds__(kThreads)
    relu_kernel(const T* gy, const T* y, To* to, std::int64_t count, float beta) {
  const std::int64_t index = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize;
  if (index + kSize <= count) return relu_packet<T, To, kSize>(gy + index, y + index, to + index, beta);
  for (std::int64_t i = index; i < count; ++i) relu_packet<T, To, 1>(gy + i, y + i, to + i, beta);
}

template <class T, class To>
void relu(const Relu& a, StreamHandle stream) {
  const std::int64_t count = a.y.size.numel();
  const auto launch = [&]<int kSize>() {
    cuda::launch<relu_kernel<T, To, kSize>>({cuda::blocks_for(count, kThreads * kSize), kThreads, 0, stream},
                                            a.gy.as<const T>(), a.y.as<const T>(), a.gradient.to.as<To>(), count,
                                            a.gradient.beta);
  };
  if (cuda::is_packet_aligned(a.gy.data) && cuda::is_packet_aligned(a.y.data) &&
      cuda::is_packet_aligned(a.gradient.to.data))
    launch.template operator()<kCommonPacket<T, To>>();
  else
    launch.template operator()<1>();
}

}  // namespace

void accumulate_cuda(const Accumulate& a, StreamHandle stream) {
  if (a.from.size.numel() == 0) return;
  cuda::for_f32_or_bf16(a.from.dtype, [&]<class From>(From) {
    cuda::for_f32_or_bf16(a.gradient.to.dtype, [&]<class To>(To) { accumulate<From, To>(a, stream); });
  });
}

void sum_rows_cuda(const SumRows& a, StreamHandle stream) {
  if (a.gradient.to.size.numel() == 0) return;
  cuda::for_f32_or_bf16(a.from.dtype, [&]<class From>(From) {
    cuda::for_f32_or_bf16(a.gradient.to.dtype, [&]<class To>(To) { sum_rows<From, To>(a, stream); });
  });
}

void relu_cuda(const Relu& a, StreamHandle stream) {
  if (a.y.size.numel() == 0) return;
  cuda::for_f32_or_bf16(a.y.dtype, [&]<class T>(T) {
    cuda::for_f32_or_bf16(a.gradient.to.dtype, [&]<class To>(To) { relu<T, To>(a, stream); });
  });
}

void clear_cuda(const View& to, StreamHandle stream) {
  const std::size_t bytes = static_cast<std::size_t>(to.size.numel()) * size_of(to.dtype);
  if (bytes > 0) cuda::check(cudaMemsetAsync(to.data, 0, bytes, static_cast<cudaStream_t>(stream.raw)), "cudaMemset");
}

}  // namespace visage::ops::gradient_detail
