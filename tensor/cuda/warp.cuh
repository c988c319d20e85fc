#pragma once
// Reductions over the 32 lanes of a warp and over the warps of a block. Every thread of the warp or block takes part
// and every one gets the result. The order of summation is fixed, so results are the same from run to run.
#include "tensor/cuda/shared.cuh"

#include <cuda_runtime.h>

namespace visage::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

template <class Op = Sum, class T>
__device__ __forceinline__ T warp_reduce(T value, Op op = {}) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    value = op(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

/// Over a one-dimensional block of kThreads threads, a multiple of 32. Contains two barriers: all threads must arrive.
/// Shared memory: one T a warp.
template <int kThreads, class Op = Sum, class T>
__device__ __forceinline__ T block_reduce(T value, Op op = {}) {
  constexpr int kWarps = kThreads / kWarpSize;
  static_assert(kThreads % kWarpSize == 0 && kWarps <= kWarpSize);
  value = warp_reduce(value, op);
  if constexpr (kWarps > 1) {
    VISAGE_SHARED(T, partial, [kWarps]);
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
    if (lane == 0) partial[warp] = value;
    __syncthreads();
    value = partial[0];
#pragma unroll
    for (int i = 1; i < kWarps; ++i) value = op(value, partial[i]);
    // The next reduction must not overwrite what a slower warp still reads.
    __syncthreads();
  }
  return value;
}

/// Unsigned numbers in the order of the floats: negative ones are below positive ones, -0 equals 0, NaN is at one end.
__device__ __forceinline__ unsigned ordered_key(float value) {
  const unsigned bits = __float_as_uint(value + 0.f);  // -0 + 0 is +0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_ordered_key(unsigned key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

struct ArgMin {
  float value;
  int index;
};

/// The smallest value of the warp and its index, of equal ones the lowest index; every lane gets it. Indices are not
/// negative. Two redux instructions in place of ten shuffles.
__device__ __forceinline__ ArgMin warp_argmin(float value, int index) {
  const unsigned key = ordered_key(value);
  const unsigned least = __reduce_min_sync(kAllLanes, key);
  const unsigned candidate = key == least ? static_cast<unsigned>(index) : ~0u;
  return {from_ordered_key(least), static_cast<int>(__reduce_min_sync(kAllLanes, candidate))};
}

}  // namespace visage::cuda
