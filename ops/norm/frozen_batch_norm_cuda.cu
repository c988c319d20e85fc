// The maps of frozen batch normalisation, a few kilobytes a layer: bound by the launch. Compiled for sm_80 and sm_90
// and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/norm/frozen_batch_norm_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops::frozen_batch_norm_detail {
namespace {

constexpr int kThreads = 128;

/// Mapping of both kernels: a thread owns a channel. Shared memory: none.
__global__ void __launch_bounds__(kThreads)
    fold_kernel(const float* weight, const float* bias, const float* mean, const float* variance, float* scale,
                float* shift, float* rstd, int channels, float eps) {
  const int c = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (c >= channels) return;
  const float deviation = sqrtf(variance[c] + eps);
  const float factor = weight[c] / deviation;
  rstd[c] = 1 / deviation;
  scale[c] = factor;
  shift[c] = bias[c] - mean[c] * factor;
}

__global__ void __launch_bounds__(kThreads)
    product_kernel(const float* gy, const float* factor, float sign, float* to, float beta, int channels) {
  const int c = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (c >= channels) return;
  const float value[1] = {sign * gy[c] * factor[c]};
  cuda::write_gradient(to + c, beta, value);
}

}  // namespace

void fold_cuda(const Fold& a, StreamHandle stream) {
  const int channels = static_cast<int>(a.weight.size.numel());
  if (channels == 0) return;
  cuda::launch<fold_kernel>({cuda::blocks_for(channels, kThreads), kThreads, 0, stream}, a.weight.as<const float>(),
                            a.bias.as<const float>(), a.mean.as<const float>(), a.variance.as<const float>(),
                            a.scale.as<float>(), a.shift.as<float>(), a.rstd.as<float>(), channels, a.eps);
}

void product_cuda(const Product& a, StreamHandle stream) {
  const int channels = static_cast<int>(a.factor.size.numel());
  if (channels == 0) return;
  cuda::launch<product_kernel>({cuda::blocks_for(channels, kThreads), kThreads, 0, stream}, a.gy.as<const float>(),
                               a.factor.as<const float>(), a.sign, a.gradient.to.as<float>(), a.gradient.beta,
                               channels);
}

}  // namespace visage::ops::frozen_batch_norm_detail
