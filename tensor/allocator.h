#pragma once
#include "tensor/device.h"

#include <cstddef>

namespace visage {

/// Source of device memory. Every allocation is at least 64-byte aligned.
class Allocator {
 public:
  virtual ~Allocator() = default;
  /// Never null: throws MemoryError, on a GPU CudaError, when the memory cannot be had.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;
};

/// Bytes that the allocator of a device has handed out, rounded up to its block sizes.
[[nodiscard]] std::size_t bytes_in_use(Device device);

/// The allocator of a device. throws DeviceError for cuda in a build or on a machine without it.
Allocator& allocator_for(Device device);

}  // namespace visage
