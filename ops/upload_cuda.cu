// Small tables for the GPU. The bytes travel as kernel arguments, 4000 a launch: unlike a copy from pageable memory
// that needs no staging, never waits and can be captured into a graph. Bound by launches; the tables of an optimizer
// step take about fifteen. Compiled for sm_80 and sm_90 and run on the host; not yet run or timed on a GPU.
#include "ops/upload_kernels.h"
#include "tensor/cuda/launch.cuh"

#include <cstring>

namespace visage::ops {
namespace {

constexpr int kThreads = 256;
constexpr std::size_t kPackets = 250;  // of 16 bytes: 4000 of at most 4096 bytes of arguments

struct Chunk {
  uint4 packet[kPackets];
};

/// Mapping: one block, a thread a packet. Shared memory: none.
__global__ void __launch_bounds__(kThreads) upload_kernel(uint4* to, Chunk chunk, int packets) {
  const int at = static_cast<int>(threadIdx.x);
  if (at < packets) to[at] = chunk.packet[at];
}

}  // namespace

void upload_cuda(void* to, const void* from, std::size_t bytes, StreamHandle stream) {
  for (std::size_t start = 0; start < bytes; start += sizeof(Chunk)) {
    const std::size_t count = bytes - start < sizeof(Chunk) ? bytes - start : sizeof(Chunk);
    Chunk chunk{};
    std::memcpy(&chunk, static_cast<const char*>(from) + start, count);
    const int packets = static_cast<int>((count + sizeof(uint4) - 1) / sizeof(uint4));
    cuda::launch<upload_kernel>({1, kThreads, 0, stream}, reinterpret_cast<uint4*>(static_cast<char*>(to) + start),
                                chunk, packets);
  }
}

}  // namespace visage::ops
