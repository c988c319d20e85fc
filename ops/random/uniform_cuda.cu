// Uniform random numbers on the GPU, a function of the position alone: bound by writing them. Compiled for sm_80 and
// sm_90 and run on the host against the CPU code; not yet run or timed on a GPU.
#include "ops/random/splitmix.h"
#include "ops/random/uniform_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 256;

/// Mapping: a thread owns a number. Shared memory: none.
__global__ void __launch_bounds__(kThreads) uniform_kernel(std::uint64_t start, float* y, std::int64_t count) {
  const std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (i < count) y[i] = uniform_at(start, i);
}

}  // namespace

void uniform_cuda(std::uint64_t start, const View& y, StreamHandle stream) {
  const std::int64_t count = y.size.numel();
  if (count == 0) return;
  cuda::launch<uniform_kernel>({cuda::blocks_for(count, kThreads), kThreads, 0, stream}, start, y.as<float>(), count);
}

}  // namespace visage::ops
