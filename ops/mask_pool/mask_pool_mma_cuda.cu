// Mask pooling of bf16 features on tensor cores: pooled sums = bits * features, where the bits become the left operand,
// zeros and ones in bf16, in registers. Every product is exact and sums are f32. Bound by reading the features, once
// for every 128 queries. Not yet run or timed on a GPU.
#include "ops/mask_pool/mask_pool_maps.cuh"
#include "tensor/cuda/async_copy.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/mma.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace mask_pool_detail {
namespace {

using Half = __nv_bfloat16;
constexpr int kThreads = 256;
constexpr int kPixels = 64;  // of a tile: a word of the masks
constexpr int kChannels = kMaskPoolChannels;
constexpr int kChunk = 8;                   // elements of a 16-byte copy
constexpr int kPitch = kChannels + kChunk;  // an odd number of 16-byte units, so that eight rows lie in different banks
constexpr int kColumns = kChannels / cuda::kMmaColumns;
static_assert(kThreads / cuda::kWarpSize * cuda::kMmaRows == kMaskPoolMmaQueries);

__device__ __forceinline__ void copy_tile(const Half* from, std::int64_t row_stride, std::int64_t first,
                                          std::int64_t pixels, int channel, int channels, Half* tile) {
  constexpr int kChunks = kChannels / kChunk;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kPixels * kChunks; i += kThreads) {
    const int row = i / kChunks, column = i % kChunks * kChunk;
    const bool exists = first + row < pixels && channel + column < channels;
    const std::int64_t at = exists ? (first + row) * row_stride + channel + column : 0;
    cuda::copy_async(tile + row * kPitch + column, from + at, exists ? 16 : 0);
  }
}

/// The two lowest bits as a pair of bf16, 1 where set.
__device__ __forceinline__ unsigned ones(unsigned bits) { return (bits & 1) * 0x3f80u | (bits >> 1 & 1) * 0x3f800000u; }

/// partial [splits, N, Q, C]: the sums of the features under the masks, of the pixels of each split.
/// Mapping: block (split and image of a map, 128 queries, 64 channels) goes through the words of its split, the
/// features of the next one on their way (cp.async) while one is used; warp w owns queries 16 w to 16 w + 15 and skips
/// the words in which none of them has a pixel. Shared memory: 18 KiB.
__global__ void __launch_bounds__(kThreads, 2) sum_mma_kernel(const __grid_constant__ PoolMaps maps) {
  VISAGE_SHARED(Half, tiles, [2][kPixels * kPitch]);
  const PoolMap& map = map_of(maps, blockIdx.x);
  const int splits = map.splits, queries = maps.queries, channels = maps.channels;
  const std::int64_t pixels = map.pixels, words = (pixels + kPixels - 1) / kPixels;
  const std::int64_t split = (blockIdx.x - map.first_block) % splits, n = (blockIdx.x - map.first_block) / splits;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const int query =
      (static_cast<int>(blockIdx.y) * (kThreads / cuda::kWarpSize) + static_cast<int>(threadIdx.x) / cuda::kWarpSize) *
          cuda::kMmaRows +
      lane / 4;
  const int channel = static_cast<int>(blockIdx.z) * kChannels;
  const std::int64_t first = words * split / splits, last = words * (split + 1) / splits;
  const auto word_of = [&](int row, std::int64_t word) {
    return row < queries ? map.bits[(n * queries + row) * words + word] : std::uint64_t{0};
  };
  const auto copy = [&](std::int64_t word, int stage) {
    copy_tile(static_cast<const Half*>(map.features) + n * map.batch_stride, map.row_stride, word * kPixels, pixels,
              channel, channels, tiles[stage]);
  };
  float sums[kColumns][4] = {};
  copy(first, 0);
  cuda::commit_copies();
  for (std::int64_t word = first; word < last; ++word) {
    const int stage = static_cast<int>(word - first) % 2;
    if (word + 1 < last) copy(word + 1, 1 - stage);
    cuda::commit_copies();
    const std::uint64_t mine[2] = {word_of(query, word), word_of(query + 8, word)};
    cuda::wait_copies<1>();
    __syncthreads();
    if (__any_sync(cuda::kAllLanes, (mine[0] | mine[1]) != 0)) {
#pragma unroll
      for (int k = 0; k < kPixels / cuda::kMmaDepth; ++k) {
        unsigned a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i)
          a[i] = ones(static_cast<unsigned>(mine[i % 2] >> (k * cuda::kMmaDepth + i / 2 * 8 + lane % 4 * 2)));
#pragma unroll
        for (int c = 0; c < kColumns; c += 2) {
          const int row = k * cuda::kMmaDepth + lane % 16, column = c * cuda::kMmaColumns + lane / 16 * 8;
          unsigned b[4];
          cuda::load_matrix_transposed(b, &tiles[stage][row * kPitch + column]);
          cuda::mma<Half>(sums[c], a, {b[0], b[1]});
          cuda::mma<Half>(sums[c + 1], a, {b[2], b[3]});
        }
      }
    }
    __syncthreads();  // before the next copy overwrites what a slower warp still reads
  }
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const int row = query + i / 2 * 8;
    if (row >= queries) continue;
    float* const to = map.partial + ((split * maps.images + n) * queries + row) * channels + channel + lane % 4 * 2;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      // Channels come in eights.
      if (channel + c * cuda::kMmaColumns >= channels) break;
      const float pair[2] = {sums[c][i], sums[c][i + 1]};
      cuda::store_packet(to + c * cuda::kMmaColumns, pair);
    }
  }
}

}  // namespace

void sum_mma_cuda(const PoolMaps& maps, StreamHandle stream) {
  const dim3 grid(maps.blocks, cuda::blocks_for(maps.queries, kMaskPoolMmaQueries),
                  cuda::blocks_for(maps.channels, kChannels));
  cuda::launch<sum_mma_kernel>({grid, kThreads, 0, stream}, maps);
}

}  // namespace mask_pool_detail

bool mask_pool_fits_mma(const MaskPoolArgs& args) {
  constexpr int kChunk = mask_pool_detail::kChunk;
  const View& x = args.features;
  return x.dtype == DType::bf16 && cuda::is_packet_aligned(x.data) && x.size[2] % kChunk == 0 &&
         x.stride[0] % kChunk == 0 && x.stride[1] % kChunk == 0;
}

}  // namespace visage::ops
