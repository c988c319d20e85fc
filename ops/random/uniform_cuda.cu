// Uniform random numbers on the GPU, a function of the position alone: bound by writing them. Where the streams start
// travels as kernel arguments. Compiled for sm_80 and sm_90 and run on the host against the CPU code; not yet run or
// timed on a GPU.
#include "ops/random/splitmix.h"
#include "ops/random/uniform_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 256;
constexpr int kStarts = 256;  // of one launch: 2048 of at most 4096 bytes of arguments

struct Starts {
  std::uint64_t at[kStarts];
};

/// Mapping: block (i, k) owns 256 numbers of stream k, a thread one. Shared memory: none.
__global__ void __launch_bounds__(kThreads) uniform_kernel(Starts starts, float* y, std::int64_t part) {
  const std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (i < part) y[blockIdx.y * part + i] = uniform_at(starts.at[blockIdx.y], i);
}

}  // namespace

void uniform_cuda(const UniformArgs& args, StreamHandle stream) {
  const std::int64_t part = args.y.size.numel() / args.count;
  if (part == 0) return;
  for (std::int64_t first = 0; first < args.count; first += kStarts) {
    const auto some = static_cast<unsigned>(min(args.count - first, std::int64_t{kStarts}));
    Starts starts{};
    for (unsigned k = 0; k < some; ++k) starts.at[k] = args.starts[first + k];
    const dim3 grid(cuda::blocks_for(part, kThreads), some);
    cuda::launch<uniform_kernel>({grid, kThreads, 0, stream}, starts, args.y.as<float>() + first * part, part);
  }
}

}  // namespace visage::ops
