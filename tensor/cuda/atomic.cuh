#pragma once
// Sums by atomics in global memory. Nothing waits for their result. The order of summation is not fixed: an op that
// uses them has a deterministic form too (tensor/cuda/determinism.h).
#include <cuda_runtime.h>

namespace visage::cuda {

__device__ __forceinline__ void atomic_add(float* to, float value) { atomicAdd(to, value); }

/// Four neighbours, aligned to 16 bytes: one instruction from sm_90 on, four before.
__device__ __forceinline__ void atomic_add4(float* to, const float (&value)[4]) {
#if defined(VISAGE_SIMT)
  if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0) simt::fail("atomic_add4: %p is not aligned to 16 bytes", to);
  for (int i = 0; i < 4; ++i) atomicAdd(to + i, value[i]);
#elif __CUDA_ARCH__ >= 900
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "f"(value[0]),
               "f"(value[1]), "f"(value[2]), "f"(value[3])
               : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; ++i) atomicAdd(to + i, value[i]);
#endif
}

}  // namespace visage::cuda
