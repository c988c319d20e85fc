// Attention masks on the GPU: thresholds of logits, as bytes and as bits. Bound by memory bandwidth: the logits are
// read once; bytes are a fourth of what is read, bits a 32nd. Not yet run or timed on a GPU.
#include "ops/attention/attention_mask_kernels.h"
#include "ops/attention/sigmoid_threshold.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 256;
constexpr int kVector = 4;        // logits a thread of the byte kernel reads at a time
constexpr int kWordsPerWarp = 4;  // of 64 logits: eight loads a lane are under way together

__device__ __forceinline__ bool is_blocked(float logit) { return logit <= kGreatestBelowHalf; }

/// Mapping: a thread owns kSize neighbouring logits.
template <int kSize>
__global__ void __launch_bounds__(kThreads)
    blocked_kernel(const float* logits, std::uint8_t* blocked, std::int64_t count) {
  const std::int64_t at = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize;
  if (at >= count) return;
  float values[kSize];
  cuda::load_packet(logits + at, values);
  cuda::Packet<std::uint8_t, kSize> bytes;
#pragma unroll
  for (int i = 0; i < kSize; ++i) bytes.element[i] = is_blocked(values[i]);
  *reinterpret_cast<cuda::Packet<std::uint8_t, kSize>*>(blocked + at) = bytes;
}

/// Mapping: a warp makes four words of one row; lane l reads logits l and l + 32 of each, and a ballot is half a word.
template <bool kForeground>
__global__ void __launch_bounds__(kThreads)
    mask_bits_kernel(const float* logits, std::int64_t batch_stride, std::int64_t row_stride, std::uint64_t* bits,
                     std::int64_t rows, int queries, std::int64_t keys) {
  const std::int64_t words = (keys + 63) / 64, groups = (words + kWordsPerWarp - 1) / kWordsPerWarp;
  const std::int64_t group = blockIdx.x * std::int64_t{kThreads / cuda::kWarpSize} + threadIdx.x / cuda::kWarpSize;
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const std::int64_t row = group / groups, first = group % groups * kWordsPerWarp;
  if (row >= rows) return;  // the whole warp leaves
  const float* const from = logits + row / queries * batch_stride + row % queries * row_stride;
  bool set[2 * kWordsPerWarp];
#pragma unroll
  for (int half = 0; half < 2 * kWordsPerWarp; ++half) {
    const std::int64_t key = first * 64 + half * 32 + lane;
    set[half] = key < keys && (kForeground ? from[key] >= kLeastAboveHalf : !is_blocked(from[key]));
  }
  std::uint64_t mine = 0;
#pragma unroll
  for (int w = 0; w < kWordsPerWarp; ++w) {
    const unsigned low = __ballot_sync(cuda::kAllLanes, set[2 * w]);
    const unsigned high = __ballot_sync(cuda::kAllLanes, set[2 * w + 1]);
    if (lane == w) mine = std::uint64_t{high} << 32 | low;
  }
  if (lane < kWordsPerWarp && first + lane < words) bits[row * words + first + lane] = mine;
}

}  // namespace

void blocked_cuda(const View& logits, const View& blocked, StreamHandle stream) {
  const std::int64_t count = logits.size.numel();
  if (count == 0) return;
  const auto run = [&]<int kSize>() {
    cuda::launch<blocked_kernel<kSize>>({cuda::blocks_for(count, kThreads * kSize), kThreads, 0, stream},
                                        logits.as<const float>(), blocked.as<std::uint8_t>(), count);
  };
  if (count % kVector == 0 && cuda::is_packet_aligned(logits.data) && cuda::is_packet_aligned(blocked.data))
    run.template operator()<kVector>();
  else
    run.template operator()<1>();
}

void mask_bits_cuda(const MaskBitsArgs& args, StreamHandle stream) {
  const std::int64_t rows = args.logits.size[0] * args.logits.size[1];
  const std::int64_t groups = rows * ((args.bits.size[2] + kWordsPerWarp - 1) / kWordsPerWarp);
  const auto run = [&]<bool kForeground>() {
    cuda::launch<mask_bits_kernel<kForeground>>(
        {cuda::blocks_for(groups, kThreads / cuda::kWarpSize), kThreads, 0, stream}, args.logits.as<const float>(),
        args.logits.stride[0], args.logits.stride[1], args.bits.as<std::uint64_t>(), rows,
        static_cast<int>(args.logits.size[1]), args.logits.size[2]);
  };
  if (args.foreground)
    run.template operator()<true>();
  else
    run.template operator()<false>();
}

}  // namespace visage::ops
