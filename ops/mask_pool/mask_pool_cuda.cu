// Mask pooling on the GPU: a product of a matrix of bits with the features, [Q, L] * [L, C], and its transpose for the
// backward. The bits stay bits: a thread adds a row of the features to those of its sums whose bit is set. The pixels
// are split among blocks, whose sums are added up in a fixed order. Bound by additions in f32 (64 a pixel, query tile
// and 16-byte read of shared memory); bf16 features go to the tensor cores (mask_pool_mma_cuda.cu), bound by reading
// them once. Not yet run or timed on a GPU.
#include "ops/mask_pool/mask_pool_maps.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace mask_pool_detail {
namespace {

constexpr int kThreads = 128;
constexpr int kRowThreads = 256;
constexpr int kRows = 64;  // pixels of a word, queries of a tile
constexpr int kChannels = kMaskPoolChannels;
static_assert(kRows == kMaskPoolQueries);
constexpr int kOwnRows = 4;  // sums of a thread: 4 queries or pixels by 8 channels
constexpr int kOwnVectors = 2, kVector = 4;
constexpr float kEpsilon = 1e-6f;

/// Thread t: rows 4 (t / 8) + r of a tile, channels 4 (t % 8) + i and 32 + 4 (t % 8) + i, so that eight lanes read 128
/// neighbouring bytes.
struct Lane {
  int first_row = static_cast<int>(threadIdx.x) / 8 * kOwnRows;
  int first_column = static_cast<int>(threadIdx.x) % 8 * kVector;

  __device__ int column(int v) const { return first_column + v * (kChannels / kOwnVectors); }
};

using Sums = float[kOwnRows][kOwnVectors][kVector];

/// sums[r] += row, where bit r is set.
__device__ __forceinline__ void add_row(const float* row, const Lane& lane, unsigned bits, Sums& sums) {
  float values[kOwnVectors][kVector];
#pragma unroll
  for (int v = 0; v < kOwnVectors; ++v) cuda::load_packet(row + lane.column(v), values[v]);
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    if (!(bits >> r & 1)) continue;
#pragma unroll
    for (int v = 0; v < kOwnVectors; ++v)
#pragma unroll
      for (int i = 0; i < kVector; ++i) sums[r][v][i] += values[v][i];
  }
}

/// tile [64, 64] = rows [first, first + 64) and channels [channel, channel + 64) of `from`, times factors[row]; zeros
/// where there is no such row or channel.
template <class T, class Factor>
__device__ __forceinline__ void load_tile(const T* from, std::int64_t row_stride, std::int64_t first,
                                          std::int64_t count, int channel, int channels, bool vectors, Factor factor,
                                          float* tile) {
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kChannels / kVector; i += kThreads) {
    const int row = i / (kChannels / kVector), column = i % (kChannels / kVector) * kVector;
    const int left = channels - channel - column;
    float values[kVector] = {};
    if (first + row < count && left > 0) {
      const T* const at = from + (first + row) * row_stride + channel + column;
      if (vectors) {
        cuda::load_packet(at, values);
      } else {
#pragma unroll
        for (int e = 0; e < kVector; ++e) values[e] = e < left ? cuda::to_float(at[e]) : 0.f;
      }
#pragma unroll
      for (int e = 0; e < kVector; ++e) values[e] *= factor(row);
    }
    cuda::store_packet(tile + row * kChannels + column, values);
  }
}

/// partial [splits, N, Q, C]: the sums of the features under the masks, of the pixels of each split.
/// Mapping: block (split and image of a map, 64 queries, 64 channels) goes through the words of its split; a warp whose
/// 16 queries are empty in a word skips it. Shared memory: 16.5 KiB.
template <class T>
__global__ void __launch_bounds__(kThreads) sum_kernel(const __grid_constant__ PoolMaps maps) {
  VISAGE_SHARED(float, tile, [kRows * kChannels]);
  VISAGE_SHARED(std::uint64_t, words_of, [kRows]);
  const PoolMap& map = map_of(maps, blockIdx.x);
  const T* const features = static_cast<const T*>(map.features);
  const std::uint64_t* const bits = map.bits;
  const std::int64_t pixels = map.pixels, words = (pixels + kRows - 1) / kRows;
  const int splits = map.splits, queries = maps.queries, channels = maps.channels;
  const std::int64_t split = (blockIdx.x - map.first_block) % splits, n = (blockIdx.x - map.first_block) / splits;
  const int first_query = static_cast<int>(blockIdx.y) * kRows, channel = static_cast<int>(blockIdx.z) * kChannels;
  const int thread = static_cast<int>(threadIdx.x);
  const Lane lane;
  Sums sums = {};
  const std::int64_t last = words * (split + 1) / splits;
  for (std::int64_t word = words * split / splits; word < last; ++word) {
    load_tile(
        features + n * map.batch_stride, map.row_stride, word * kRows, pixels, channel, channels, map.vectors,
        [](int) { return 1.f; }, tile);
    if (thread < kRows) {
      const int query = first_query + thread;
      words_of[thread] = query < queries ? bits[(n * queries + query) * words + word] : 0;
    }
    __syncthreads();
    std::uint64_t mine[kOwnRows], any = 0;
#pragma unroll
    for (int r = 0; r < kOwnRows; ++r) any |= mine[r] = words_of[lane.first_row + r];
    if (__any_sync(cuda::kAllLanes, any != 0)) {
      for (int half = 0; half < 2; ++half) {
        unsigned part[kOwnRows];
#pragma unroll
        for (int r = 0; r < kOwnRows; ++r) part[r] = static_cast<unsigned>(mine[r] >> (32 * half));
#pragma unroll 4
        for (int pixel = 0; pixel < 32; ++pixel) {
          unsigned set = 0;
#pragma unroll
          for (int r = 0; r < kOwnRows; ++r) set |= (part[r] >> pixel & 1) << r;
          add_row(tile + (32 * half + pixel) * kChannels, lane, set, sums);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const int query = first_query + lane.first_row + r;
    if (query >= queries) break;
    float* const to = map.partial + ((split * maps.images + n) * queries + query) * channels;
#pragma unroll
    for (int v = 0; v < kOwnVectors; ++v)
#pragma unroll
      for (int i = 0; i < kVector; ++i)
        if (channel + lane.column(v) + i < channels) to[channel + lane.column(v) + i] = sums[r][v][i];
  }
}

/// counts = bits set in a row; pooled = (scale * sum + shift * count) / (count + 1e-6), the sum over the splits in
/// their order. Mapping: block (row of one query, map), a thread every 256th channel. Shared memory: 32 bytes.
__global__ void __launch_bounds__(kRowThreads) finish_kernel(const __grid_constant__ PoolMaps maps) {
  const PoolMap& map = maps.map[blockIdx.y];
  const std::uint64_t* const bits = map.bits;
  const std::int64_t row = blockIdx.x, rows = gridDim.x, words = (map.pixels + kRows - 1) / kRows;
  const int channels = maps.channels;
  int own = 0;
  for (std::int64_t w = threadIdx.x; w < words; w += kRowThreads) own += __popcll(bits[row * words + w]);
  const int count = cuda::block_reduce<kRowThreads>(own);
  if (threadIdx.x == 0) map.counts[row] = count;
  const auto area = static_cast<float>(count);
  for (int c = static_cast<int>(threadIdx.x); c < channels; c += kRowThreads) {
    float sum = 0;
    for (int s = 0; s < map.splits; ++s) sum += map.partial[(s * rows + row) * channels + c];
    const std::int64_t at = row / maps.queries * map.scale_stride + c;
    if (map.scale) sum = map.scale[at] * sum + map.shift[at] * area;
    map.pooled[row * channels + c] = sum / (area + kEpsilon);
  }
}

/// gfeatures of a pixel = sum over the masks it belongs to, in their order, of gpooled / (count + 1e-6).
/// Mapping: block (word of 64 pixels of an image, 64 channels) goes through the queries, 64 at a time; a warp skips the
/// queries to which none of its 16 pixels belongs. One writer an element. Shared memory: 16.8 KiB.
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const float* gpooled, const std::uint64_t* bits, const std::int64_t* counts, float* gfeatures,
                    float beta, int queries, std::int64_t pixels, int channels, bool vectors) {
  VISAGE_SHARED(float, tile, [kRows * kChannels]);
  VISAGE_SHARED(std::uint64_t, words_of, [kRows]);
  VISAGE_SHARED(float, factors, [kRows]);
  const std::int64_t words = (pixels + kRows - 1) / kRows, word = blockIdx.x % words, n = blockIdx.x / words;
  const int channel = static_cast<int>(blockIdx.y) * kChannels, thread = static_cast<int>(threadIdx.x);
  const Lane lane;
  const int warp_pixels = thread / cuda::kWarpSize * 16;  // 16 pixels a warp, four a thread
  Sums sums = {};
  for (int first = 0; first < queries; first += kRows) {
    __syncthreads();  // every warp is done with the queries before
    if (thread < kRows && first + thread < queries) {
      const std::int64_t row = n * queries + first + thread;
      words_of[thread] = bits[row * words + word];
      factors[thread] = 1 / (static_cast<float>(counts[row]) + kEpsilon);
    }
    __syncthreads();
    load_tile(
        gpooled + n * queries * channels, channels, first, queries, channel, channels, vectors,
        [&](int row) { return factors[row]; }, tile);
    __syncthreads();
    const int count = min(kRows, queries - first);
    for (int query = 0; query < count; ++query) {
      const auto set = static_cast<unsigned>(words_of[query] >> warp_pixels) & 0xffffu;
      if (set) add_row(tile + query * kChannels, lane, set >> (lane.first_row - warp_pixels), sums);
    }
  }
#pragma unroll
  for (int r = 0; r < kOwnRows; ++r) {
    const std::int64_t pixel = word * kRows + lane.first_row + r;
    if (pixel >= pixels) break;
    float* const to = gfeatures + (n * pixels + pixel) * channels + channel;
#pragma unroll
    for (int v = 0; v < kOwnVectors; ++v)
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        const int c = lane.column(v) + i;
        if (channel + c < channels) to[c] = beta == 0 ? sums[r][v][i] : beta * to[c] + sums[r][v][i];
      }
  }
}

template <class T>
void sum(const PoolMaps& maps, StreamHandle stream) {
  const dim3 grid(maps.blocks, cuda::blocks_for(maps.queries, kRows), cuda::blocks_for(maps.channels, kChannels));
  cuda::launch<sum_kernel<T>>({grid, kThreads, 0, stream}, maps);
}

PoolMaps maps_of(const MaskPoolArgs* args, const View* partial, int count) {
  const Dims& size = args[0].pooled.size;
  PoolMaps maps{};
  maps.count = count;
  maps.images = static_cast<int>(size[0]);
  maps.queries = static_cast<int>(size[1]);
  maps.channels = static_cast<int>(size[2]);
  for (int i = 0; i < count; ++i) {
    const View& features = args[i].features;
    const Dims& stride = features.stride;
    PoolMap& map = maps.map[i];
    map.features = features.data;
    map.batch_stride = stride[0];
    map.row_stride = stride[1];
    map.pixels = features.size[1];
    map.bits = args[i].bits.as<const std::uint64_t>();
    map.partial = partial[i].as<float>();
    map.first_block = maps.blocks;
    map.splits = static_cast<int>(partial[i].size[0]);
    map.vectors = size[2] % kVector == 0 && stride[0] % kVector == 0 && stride[1] % kVector == 0 &&
                  reinterpret_cast<std::uintptr_t>(features.data) % (kVector * size_of(features.dtype)) == 0;
    map.scale = args[i].scale.as<const float>();
    map.shift = args[i].shift.as<const float>();
    map.scale_stride = args[i].scale.stride[0];
    map.pooled = args[i].pooled.as<float>();
    map.counts = args[i].counts.as<std::int64_t>();
    maps.blocks += static_cast<unsigned>(maps.images * map.splits);
  }
  return maps;
}

}  // namespace
}  // namespace mask_pool_detail

void mask_pool_cuda(const MaskPoolArgs* args, const View* partial, int maps, StreamHandle stream) {
  using namespace mask_pool_detail;
  const PoolMaps all = maps_of(args, partial, maps);
  bool mma = true;
  for (int i = 0; i < maps; ++i) mma = mma && mask_pool_fits_mma(args[i]);
  if (mma)
    sum_mma_cuda(all, stream);
  else if (args[0].features.dtype == DType::bf16)
    sum<__nv_bfloat16>(all, stream);
  else
    sum<float>(all, stream);
  const dim3 grid(static_cast<unsigned>(all.images * all.queries), static_cast<unsigned>(maps));
  cuda::launch<finish_kernel>({grid, kRowThreads, 0, stream}, all);
}

void mask_pool_backward_cuda(const MaskPoolBackwardArgs& args, StreamHandle stream) {
  using namespace mask_pool_detail;
  if (!args.gfeatures) return;
  const Dims& size = args.gfeatures.to.size;
  const auto channels = static_cast<int>(size[2]);
  const dim3 grid(static_cast<unsigned>(args.bits.size[0] * args.bits.size[2]), cuda::blocks_for(channels, kChannels));
  cuda::launch<backward_kernel>({grid, kThreads, 0, stream}, args.gpooled.as<const float>(),
                                args.bits.as<const std::uint64_t>(), args.counts.as<const std::int64_t>(),
                                args.gfeatures.to.as<float>(), args.gfeatures.beta, static_cast<int>(args.bits.size[1]),
                                size[1], channels,
                                channels % kVector == 0 && cuda::is_packet_aligned(args.gpooled.data));
}

}  // namespace visage::ops
