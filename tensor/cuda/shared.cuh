#pragma once
// Shared memory of a block, spelled so that nvcc and the host harness (tests/simt) both understand it. These two macros
// are the project's only ones in headers: `__shared__` is a storage class, which no function can stand for.
//   VISAGE_SHARED(float, sums, [32]);      an array of known size, 16-byte aligned; T may depend on template parameters
//   VISAGE_DYNAMIC_SHARED(float4, tile);   a pointer to the bytes asked for at launch, 128-byte aligned
// Both start with undefined content. The types must be trivial.
#include <cuda_runtime.h>

#ifdef VISAGE_SIMT
#define VISAGE_SHARED(T, name, ...) auto& name = ::simt::shared_variable<decltype([] {}), T __VA_ARGS__>()
#define VISAGE_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::simt::dynamic_shared())
#else
#define VISAGE_SHARED(T, name, ...) __shared__ __align__(16) T name __VA_ARGS__
#define VISAGE_DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(128) unsigned char visage_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(visage_dynamic_shared)
#endif
