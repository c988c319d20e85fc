#include "tensor/allocator.h"

#include "tensor/error.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#ifdef VISAGE_CUDA
#include "tensor/cuda/allocator.h"
#endif

namespace visage {
namespace {

constexpr std::size_t kAlignment = 64;
// Blocks below this size come straight from the heap, which is quick for them.
constexpr std::size_t kSmallest = std::size_t{1} << 16;
// Freed blocks kept for reuse. The activations of a frame come and go in the same sizes; returning them to the system
// each time costs a page fault for every 4 KiB, about a tenth of the frame.
constexpr std::size_t kMostCached = std::size_t{384} << 20;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCaching = false;  // a reused block would hide uses after free
#else
constexpr bool kCaching = true;
#endif

// Quarters of powers of two: at most a quarter of a block is unused.
std::size_t size_class(std::size_t bytes) {
  if (bytes < kSmallest) return std::max((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  const std::size_t step = std::bit_floor(bytes) / 4;
  return (bytes + step - 1) / step * step;
}

class CpuAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    const std::size_t size = size_class(bytes);
    void* data = take(size);
    if (!data) data = std::aligned_alloc(kAlignment, size);
    check<MemoryError>(data != nullptr, "out of memory: cannot allocate ", bytes,
                       " bytes on the CPU; use a smaller input, batch or window");
    in_use_.fetch_add(size, std::memory_order_relaxed);
    return data;
  }

  void release(void* data, std::size_t bytes) noexcept override {
    const std::size_t size = size_class(bytes);
    in_use_.fetch_sub(size, std::memory_order_relaxed);
    if (!keep(data, size)) std::free(data);
  }

  std::size_t in_use() const { return in_use_.load(std::memory_order_relaxed); }

 private:
  void* take(std::size_t size) {
    if (!kCaching || size < kSmallest) return nullptr;
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(size);
    if (found == free_.end() || found->second.empty()) return nullptr;
    void* data = found->second.back();
    found->second.pop_back();
    cached_ -= size;
    return data;
  }

  bool keep(void* data, std::size_t size) noexcept {
    if (!kCaching || size < kSmallest) return false;
    const std::lock_guard lock(mutex_);
    if (cached_ + size > kMostCached) return false;
    try {
      free_[size].push_back(data);
    } catch (...) {
      return false;
    }
    cached_ += size;
    return true;
  }

  std::atomic<std::size_t> in_use_ = 0;
  std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;
  std::size_t cached_ = 0;
};

// Never destroyed: tensors of static objects may be released after it.
CpuAllocator& cpu_allocator() {
  static auto* cpu = new CpuAllocator;
  return *cpu;
}

}  // namespace

std::size_t bytes_in_use([[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) return static_cast<std::size_t>(cuda::memory_statistics(device.index).in_use);
#endif
  return cpu_allocator().in_use();
}

Allocator& allocator_for(Device device) {
  if (device.type == DeviceType::cpu) return cpu_allocator();
#ifdef VISAGE_CUDA
  return cuda::allocator(device.index);
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

}  // namespace visage
