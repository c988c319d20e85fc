// Class-weighted cross-entropy on the GPU. Bound by launch latency at the sizes of a model (thousands of rows of dozens
// of classes): three launches for forward and backward together. Sums over rows are f64 and of fixed order.
// Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/softmax.cuh"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

using cuda::kWarpSize;

constexpr int kThreads = 256;
constexpr int kRows = kThreads / kWarpSize;

/// NaN for a label that is no class.
__device__ __forceinline__ float weight_of(const float* weights, std::int64_t label, int classes) {
  return label >= 0 && label < classes ? weights[label] : NAN;
}

/// sums[2 + 2 b], sums[3 + 2 b]: weighted loss and weight of the rows of block b. Mapping: a warp owns every
/// (kRows * blocks)-th row, a lane every 32nd class. Shared memory: 64 bytes a reduction.
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const float* logits, const std::int64_t* labels, const float* weights, double* sums, std::int64_t rows,
                int classes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  double sum = 0, total = 0;
  for (std::int64_t row = blockIdx.x * std::int64_t{kRows} + threadIdx.x / kWarpSize; row < rows;
       row += std::int64_t{kRows} * gridDim.x) {
    const float* const x = logits + row * classes;
    const Softmax softmax = warp_softmax(x, classes);
    if (lane != 0) continue;
    const std::int64_t label = labels[row];
    const float weight = weight_of(weights, label, classes);
    // A row of another label is not read.
    const float own = isnan(weight) ? 0.f : x[label];
    sum += static_cast<double>(weight) * static_cast<double>(logf(softmax.sum) + (softmax.shift - own));
    total += static_cast<double>(weight);
  }
  sum = cuda::block_reduce<kThreads>(sum);
  total = cuda::block_reduce<kThreads>(total);
  if (threadIdx.x != 0) return;
  sums[2 + 2 * blockIdx.x] = sum;
  sums[3 + 2 * blockIdx.x] = total;
}

/// One block adds up the blocks' sums.
__global__ void __launch_bounds__(kThreads) loss_kernel(double* sums, float* loss, int blocks) {
  double sum = 0, total = 0;
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += kThreads) {
    sum += sums[2 + 2 * b];
    total += sums[3 + 2 * b];
  }
  sum = cuda::block_reduce<kThreads>(sum);
  total = cuda::block_reduce<kThreads>(total);
  if (threadIdx.x != 0) return;
  sums[0] = sum;
  sums[1] = total;
  // Not `total > 0`: a NaN stays one.
  *loss = total <= 0 ? 0.f : static_cast<float>(sum / total);
}

/// Mapping: a warp owns a row.
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const float* gloss, const float* logits, const std::int64_t* labels, const float* weights,
                    const double* sums, float* glogits, float beta, std::int64_t rows, int classes) {
  const std::int64_t row = blockIdx.x * std::int64_t{kRows} + threadIdx.x / kWarpSize;
  if (row >= rows) return;
  const float* const x = logits + row * classes;
  const Softmax softmax = warp_softmax(x, classes);
  const double total = sums[1];
  const double factor = total <= 0 ? 0 : static_cast<double>(*gloss) / total;
  const std::int64_t label = labels[row];
  const auto scale = static_cast<float>(factor * static_cast<double>(weight_of(weights, label, classes)));
  for (int c = static_cast<int>(threadIdx.x) % kWarpSize; c < classes; c += kWarpSize) {
    const float slope[1] = {scale * (expf(x[c] - softmax.shift) / softmax.sum - (c == label ? 1.f : 0.f))};
    cuda::write_gradient(glogits + row * classes + c, beta, slope);
  }
}

}  // namespace

void weighted_cross_entropy_cuda(const CrossEntropyArgs& args, StreamHandle stream) {
  const int classes = static_cast<int>(args.weights.size[0]);
  const std::int64_t rows = args.labels.size.numel();
  const auto blocks = static_cast<unsigned>(min(kCrossEntropyBlocks, (rows + kRows - 1) / kRows));
  if (rows > 0) {
    cuda::launch<sums_kernel>({blocks, kThreads, 0, stream}, args.logits.as<const float>(),
                              args.labels.as<const std::int64_t>(), args.weights.as<const float>(),
                              args.sums.as<double>(), rows, classes);
  }
  cuda::launch<loss_kernel>({1, kThreads, 0, stream}, args.sums.as<double>(), args.loss.as<float>(),
                            static_cast<int>(blocks));
}

void weighted_cross_entropy_backward_cuda(const CrossEntropyArgs& args, StreamHandle stream) {
  const int classes = static_cast<int>(args.weights.size[0]);
  const std::int64_t rows = args.labels.size.numel();
  if (rows == 0 || !args.glogits) return;
  cuda::launch<backward_kernel>({cuda::blocks_for(rows, kRows), kThreads, 0, stream}, args.gloss.as<const float>(),
                                args.logits.as<const float>(), args.labels.as<const std::int64_t>(),
                                args.weights.as<const float>(), args.sums.as<const double>(),
                                args.glogits.to.as<float>(), args.glogits.beta, rows, classes);
}

}  // namespace visage::ops
