#pragma once
#include <atomic>

namespace visage::cuda {

namespace detail {
inline std::atomic<bool> deterministic{true};
}

/// Whether kernels must give the same bits on every run. Most always do. Those that are faster with atomics, whose
/// order of summation varies, have a second form with a fixed order; the op's host code asks here which one to launch.
/// One switch for the process, since backward passes run on other threads too. Default: true.
inline bool deterministic() { return detail::deterministic.load(std::memory_order_relaxed); }
inline void set_deterministic(bool value) { detail::deterministic.store(value, std::memory_order_relaxed); }

/// Sets the switch for a scope.
class DeterminismScope {
 public:
  explicit DeterminismScope(bool value) : previous_(detail::deterministic.exchange(value)) {}
  ~DeterminismScope() { set_deterministic(previous_); }
  DeterminismScope(const DeterminismScope&) = delete;
  DeterminismScope& operator=(const DeterminismScope&) = delete;

 private:
  bool previous_;
};

}  // namespace visage::cuda
