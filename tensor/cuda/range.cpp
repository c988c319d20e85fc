#include "tensor/cuda/range.h"

#include <atomic>
#include <cstdlib>

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define VISAGE_NVTX 1
#else
#define VISAGE_NVTX 0
#endif

namespace visage::cuda {
namespace {

std::atomic<bool>& shown_flag() {
  static std::atomic<bool> flag{VISAGE_NVTX && std::getenv("NVTX_INJECTION64_PATH") != nullptr};
  return flag;
}

}  // namespace

bool ranges_shown() noexcept { return shown_flag().load(std::memory_order_relaxed); }
void set_ranges_shown(bool shown) noexcept { shown_flag() = VISAGE_NVTX && shown; }

void begin_range([[maybe_unused]] const char* name) noexcept {
#if VISAGE_NVTX
  nvtxRangePushA(name);
#endif
}

void end_range() noexcept {
#if VISAGE_NVTX
  nvtxRangePop();
#endif
}

}  // namespace visage::cuda
