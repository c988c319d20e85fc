#pragma once
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

#include <cuda_runtime.h>

namespace visage::ops {

/// softmax(x)[c] = exp(x[c] - shift) / sum, with the largest x as shift.
struct Softmax {
  float shift, sum;
};

/// Of `count` > 0 contiguous logits; a warp's lanes all call it and all get the result. A NaN among them makes it NaN.
__device__ __forceinline__ Softmax warp_softmax(const float* x, int count) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  float shift = -INFINITY;
  for (int c = lane; c < count; c += cuda::kWarpSize) shift = fmaxf(shift, x[c]);
  shift = cuda::warp_reduce<cuda::Max>(shift);
  float sum = 0;
  for (int c = lane; c < count; c += cuda::kWarpSize) sum += expf(x[c] - shift);
  return {shift, cuda::warp_reduce(sum)};
}

}  // namespace visage::ops
