#pragma once
#include <cuda_runtime.h>

namespace visage::ops {

/// 1 / (1 + exp(-x)) without overflow.
__device__ __forceinline__ float device_sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x >= 0 ? 1.f : e) / (1.f + e);
}

/// log(1 + exp(x)) without overflow.
__device__ __forceinline__ float device_softplus(float x) { return fmaxf(x, 0.f) + log1pf(expf(-fabsf(x))); }

}  // namespace visage::ops
