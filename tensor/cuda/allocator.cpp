#include "tensor/cuda/allocator.h"

#include "tensor/cuda/device.h"
#include "tensor/cuda/error.h"
#include "tensor/cuda/stall.h"
#include "tensor/cuda/stream.h"
#include "tensor/error.h"

#include <algorithm>
#include <bit>
#include <compare>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace visage::cuda {
namespace {

bool cache_enabled() {
  const char* value = std::getenv("VISAGE_CUDA_CACHE");
  return !value || std::string_view(value) != "0";
}

/// Eight classes between powers of two, from 512 bytes up: at most 12.5 % is lost to rounding.
std::size_t size_class(std::size_t bytes) {
  constexpr std::size_t kSmallest = 512;
  const std::size_t step = std::max(kSmallest, std::bit_floor(bytes) / 8);
  return std::max(kSmallest, (bytes + step - 1) / step * step);
}

/// Of this thread, null outside a MemoryPoolScope.
thread_local const MemoryPool* open_pool = nullptr;

/// Lets the driver allocate although a stream of this thread is being captured.
class UncapturedScope {
 public:
  UncapturedScope() { exchange(); }
  ~UncapturedScope() { exchange(); }
  UncapturedScope(const UncapturedScope&) = delete;
  UncapturedScope& operator=(const UncapturedScope&) = delete;

 private:
  void exchange() { warn(cudaThreadExchangeStreamCaptureMode(&mode_), "cudaThreadExchangeStreamCaptureMode"); }
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

class CachingAllocator final : public Allocator {
 public:
  explicit CachingAllocator(int device) : device_(device), cached_(cache_enabled()) {}

  void* allocate(std::size_t bytes) override {
    const std::size_t size = cached_ ? size_class(bytes) : std::max<std::size_t>(bytes, 1);
    const DeviceScope scope(device_);
    const Key key{open_pool, current_stream().raw, size};
    const std::lock_guard lock(mutex_);
    ++statistics_.requests;
    void* data = take(key);
    if (!data) data = from_driver(size);
    live_.emplace(data, key);
    statistics_.in_use += static_cast<std::int64_t>(size);
    statistics_.peak_in_use = std::max(statistics_.peak_in_use, statistics_.in_use);
    return data;
  }

  void release(void* data, std::size_t) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto block = live_.find(data);
    if (block == live_.end()) return;
    const Key key = block->second;
    live_.erase(block);
    statistics_.in_use -= static_cast<std::int64_t>(key.size);
    if (key.pool == kDestroyed || (!key.pool && !cached_)) return warn(cudaFree(data), "cudaFree");
    free_[key].push_back(data);
    kept(key) += static_cast<std::int64_t>(key.size);
  }

  void release_cache() {
    const std::lock_guard lock(mutex_);
    free_all(nullptr);
  }

  void destroy(const MemoryPool* pool) {
    const std::lock_guard lock(mutex_);
    free_all(pool);
    for (auto& [data, key] : live_) {
      if (key.pool == pool) key.pool = kDestroyed;
    }
  }

  MemoryStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  /// A block goes back to where it came from.
  struct Key {
    const void* pool;  // null for memory that is not set apart
    void* stream;
    std::size_t size;  // class
    auto operator<=>(const Key&) const = default;
  };
  /// In place of the pool of a block that has outlived it.
  static constexpr const char* kDestroyed = "destroyed";

  std::int64_t& kept(const Key& key) { return key.pool ? statistics_.pooled : statistics_.cached; }

  void* take(const Key& key) {
    const auto blocks = free_.find(key);
    if (blocks == free_.end() || blocks->second.empty()) return nullptr;
    void* data = blocks->second.back();
    blocks->second.pop_back();
    kept(key) -= static_cast<std::int64_t>(key.size);
    return data;
  }

  void* from_driver(std::size_t size) {
    visage::cuda::detail::about_to_stall("cudaMalloc");
    std::optional<UncapturedScope> uncaptured;
    if (open_pool) uncaptured.emplace();
    void* data = nullptr;
    cudaError_t status = cudaMalloc(&data, size);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      free_all(nullptr);
      status = cudaMalloc(&data, size);
    }
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail<CudaError>("out of memory: cannot allocate ", size, " bytes on cuda:", device_, "; ", statistics_.in_use,
                      " bytes are in use; use a smaller input, batch or window");
    }
    check(status, "cudaMalloc");
    ++statistics_.driver_calls;
    return data;
  }

  /// cudaFree waits for the device, so blocks still read by queued work may be freed. What belongs to another pool
  /// stays, for its graph writes there.
  void free_all(const void* pool) {
    for (auto& [key, blocks] : free_) {
      if (key.pool != pool) continue;
      for (void* data : blocks) warn(cudaFree(data), "cudaFree");
      kept(key) -= static_cast<std::int64_t>(key.size * blocks.size());
    }
    std::erase_if(free_, [pool](const auto& entry) { return entry.first.pool == pool; });
  }

  const int device_;
  const bool cached_;
  std::mutex mutex_;
  std::map<Key, std::vector<void*>> free_;
  std::unordered_map<void*, Key> live_;
  MemoryStatistics statistics_;
};

CachingAllocator& instance(int device) {
  visage::check<DeviceError>(device >= 0 && device < device_count(), "device cuda:", device, ": not there; ",
                             device_count() ? "the machine has fewer GPUs" : why_no_device());
  static std::mutex mutex;
  // Never destroyed: tensors of static lifetime may be released after any destructor here would have run.
  static auto& instances = *new std::map<int, std::unique_ptr<CachingAllocator>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<CachingAllocator>& found = instances[device];
  if (!found) found = std::make_unique<CachingAllocator>(device);
  return *found;
}

}  // namespace

Allocator& allocator(int device) { return instance(device); }
MemoryStatistics memory_statistics(int device) { return instance(device).statistics(); }
void release_cache(int device) { instance(device).release_cache(); }

MemoryPool::~MemoryPool() { instance(device_).destroy(this); }

MemoryPoolScope::MemoryPoolScope(const MemoryPool& pool) : previous_(std::exchange(open_pool, &pool)) {}
MemoryPoolScope::~MemoryPoolScope() { open_pool = previous_; }

}  // namespace visage::cuda
