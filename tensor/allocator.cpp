#include "tensor/allocator.h"

#include "tensor/error.h"

#include <cstdlib>

#ifdef VISAGE_CUDA
#include "tensor/cuda/allocator.h"
#endif

namespace visage {
namespace {

class CpuAllocator final : public Allocator {
 public:
  void* allocate(std::size_t bytes) override {
    constexpr std::size_t kAlignment = 64;
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    void* data = std::aligned_alloc(kAlignment, rounded ? rounded : kAlignment);
    check(data != nullptr, "out of memory: cannot allocate ", bytes, " bytes on the CPU");
    return data;
  }
  void release(void* data, std::size_t) noexcept override { std::free(data); }
};

}  // namespace

Allocator& allocator_for(Device device) {
  static CpuAllocator cpu;
  if (device.type == DeviceType::cpu) return cpu;
#ifdef VISAGE_CUDA
  return cuda::allocator(device.index);
#else
  fail<DeviceError>("device cuda: this build has no CUDA backend; configure with a CUDA toolkit");
#endif
}

}  // namespace visage
