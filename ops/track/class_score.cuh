#pragma once
#include "tensor/cuda/warp.cuh"

namespace visage::ops {

/// The largest softmax probability among all classes but the last; every lane of the warp gets it.
__device__ __forceinline__ float max_class_probability(const float* logits, int classes) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  float best = -INFINITY;
  for (int c = lane; c < classes - 1; c += cuda::kWarpSize) best = fmaxf(best, logits[c]);
  best = cuda::warp_reduce<cuda::Max>(best);
  const float largest = fmaxf(best, logits[classes - 1]);
  float sum = 0;
  for (int c = lane; c < classes; c += cuda::kWarpSize) sum += expf(logits[c] - largest);
  return expf(best - largest) / cuda::warp_reduce(sum);
}

}  // namespace visage::ops
