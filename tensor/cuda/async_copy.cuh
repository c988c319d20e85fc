#pragma once
// cp.async (sm_80 and later): copies from global to shared memory that need no registers and run while the thread goes
// on. A thread waits for its own copies only; a barrier then shows them to the others. A loop over tiles with two
// stages of shared memory:
//   load(0); commit_copies();
//   for (int i = 0; i < tiles; ++i) {
//     if (i + 1 < tiles) load(i + 1);
//     commit_copies();       // also when it is empty: groups are counted
//     wait_copies<1>();      // all but the newest group have arrived
//     __syncthreads();
//     use(i);
//     __syncthreads();       // before the next load overwrites what a slower warp still reads
//   }
// A kernel must not end with copies that it has not waited for.
#include <cuda_runtime.h>

namespace visage::cuda {

/// Starts the copy of `bytes` (0 to 16) bytes; the rest of the 16 at `to` becomes zero, so a tail needs no branch. With
/// 0 bytes `from` is not read. Both addresses are aligned to 16.
__device__ __forceinline__ void copy_async(void* to, const void* from, int bytes = 16) {
#ifdef VISAGE_SIMT
  simt::async_copy(to, from, bytes);
#else
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(__cvta_generic_to_global(from)), "r"(bytes)
      : "memory");
#endif
}

/// Ends a group: the copies started since the last one.
__device__ __forceinline__ void commit_copies() {
#ifdef VISAGE_SIMT
  simt::commit_async_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the kPending newest groups are still under way.
template <int kPending>
__device__ __forceinline__ void wait_copies() {
#ifdef VISAGE_SIMT
  simt::wait_async_copies(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace visage::cuda
