// The read-out of a memory bank on the GPU: every embedding is read once, so it is bound by memory. Run on the host
// against the CPU op; not yet run or timed on a GPU.
#include "ops/track/memory_read_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 128;

/// Mapping: a thread owns kSize channels of one slot; frames are added in order. Shared memory: none.
template <int kSize>
__global__ void __launch_bounds__(kThreads)
    memory_read_kernel(const float* bank, const float* weights, float* out, std::int64_t frames, std::int64_t slots,
                       std::int64_t depth) {
  const std::int64_t at = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize, size = slots * depth;
  if (at >= size) return;
  const std::int64_t slot = at / depth;
  float sum[kSize] = {};
#pragma unroll 4
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    float embedding[kSize];
    cuda::load_packet<kSize>(bank + frame * size + at, embedding);
    const float weight = weights[frame * slots + slot];
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum[i] += weight * embedding[i];
  }
  cuda::store_packet(out + at, sum);
}

}  // namespace

void memory_read_cuda(const MemoryReadArgs& args, StreamHandle stream) {
  const std::int64_t frames = args.bank.size[0], slots = args.bank.size[1], depth = args.bank.size[2];
  if (slots * depth == 0) return;
  const auto run = [&]<int kSize>() {
    cuda::launch<memory_read_kernel<kSize>>({cuda::blocks_for(slots * depth, kThreads * kSize), kThreads, 0, stream},
                                            args.bank.as<const float>(), args.weights.as<const float>(),
                                            args.out.as<float>(), frames, slots, depth);
  };
  if (depth % 4 == 0 && cuda::is_packet_aligned(args.bank.data) && cuda::is_packet_aligned(args.out.data))
    run.template operator()<4>();
  else
    run.template operator()<1>();
}

}  // namespace visage::ops
