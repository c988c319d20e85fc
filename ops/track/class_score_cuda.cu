// Class scores on the GPU, bound by the launch. Run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/track/class_score.cuh"
#include "ops/track/class_score_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 128;

/// Mapping: a warp owns a query. Shared memory: none.
__global__ void __launch_bounds__(kThreads)
    max_class_score_kernel(const float* logits, float* out, std::int64_t queries, int classes) {
  const std::int64_t query = blockIdx.x * std::int64_t{kThreads / cuda::kWarpSize} + threadIdx.x / cuda::kWarpSize;
  if (query >= queries) return;  // the whole warp leaves
  const float score = max_class_probability(logits + query * classes, classes);
  if (threadIdx.x % cuda::kWarpSize == 0) out[query] = score;
}

}  // namespace

void max_class_score_cuda(const ClassScoreArgs& args, StreamHandle stream) {
  const std::int64_t queries = args.logits.size[0];
  if (queries == 0) return;
  cuda::launch<max_class_score_kernel>({cuda::blocks_for(queries, kThreads / cuda::kWarpSize), kThreads, 0, stream},
                                       args.logits.as<const float>(), args.out.as<float>(), queries,
                                       static_cast<int>(args.logits.size[1]));
}

}  // namespace visage::ops
