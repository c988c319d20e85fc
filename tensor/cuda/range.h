#pragma once

namespace visage::cuda {

/// Whether ranges are handed to a profiler: true when one that shows them is attached to the process, as Nsight Systems
/// tells by NVTX_INJECTION64_PATH in the environment. False where the toolkit has no NVTX.
bool ranges_shown() noexcept;
void set_ranges_shown(bool shown) noexcept;

/// A named range on this thread's row of the profiler. Ranges nest. Stages and ops have theirs already
/// (tensor/stage_timer.h, ops/dispatch.h).
void begin_range(const char* name) noexcept;
void end_range() noexcept;

/// From construction to destruction.
class Range {
 public:
  explicit Range(const char* name) : shown_(ranges_shown()) {
    if (shown_) begin_range(name);
  }
  ~Range() {
    if (shown_) end_range();
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  const bool shown_;
};

}  // namespace visage::cuda
