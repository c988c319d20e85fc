#pragma once
#include "tensor/allocator.h"

#include <cstdint>

namespace visage::cuda {

struct MemoryStatistics {
  std::int64_t in_use = 0;        // bytes handed out, rounded to their size class
  std::int64_t peak_in_use = 0;   // largest in_use so far
  std::int64_t cached = 0;        // bytes kept for reuse by anyone
  std::int64_t pooled = 0;        // bytes kept for the graphs they were captured with
  std::int64_t requests = 0;      // calls of allocate
  std::int64_t driver_calls = 0;  // of those, answered by cudaMalloc
};

/// The caching allocator of one GPU. cudaMalloc and cudaFree wait for the whole device, so released blocks are kept and
/// handed out again. A block goes back to the stream that was current when it was allocated, and only that stream's
/// later allocations get it: the order of the stream makes the reuse safe without any synchronisation. Whoever uses a
/// tensor on another stream keeps it alive until an Event of that stream has been waited for.
/// VISAGE_CUDA_CACHE=0 sends every request to the driver with its exact size, for memory checkers.
/// Thread-safe. throws DeviceError if there is no such device.
Allocator& allocator(int device);

MemoryStatistics memory_statistics(int device);

/// Gives all cached blocks of the device back to the driver.
void release_cache(int device);

/// Memory set apart for a graph, whose replays write to the same addresses again and again: a block allocated from a
/// pool and then released is used for nothing but later requests to the pool.
class MemoryPool {
 public:
  explicit MemoryPool(int device) : device_(device) {}
  /// Gives the pool's memory back to the driver, which waits for the device; blocks in use follow on their release.
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

 private:
  int device_;
};

/// Serves this thread's requests from a pool for a scope, during a capture too.
class MemoryPoolScope {
 public:
  explicit MemoryPoolScope(const MemoryPool& pool);
  ~MemoryPoolScope();
  MemoryPoolScope(const MemoryPoolScope&) = delete;
  MemoryPoolScope& operator=(const MemoryPoolScope&) = delete;

 private:
  const MemoryPool* previous_;
};

}  // namespace visage::cuda
