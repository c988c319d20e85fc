#pragma once
#include <cstdint>
#include <type_traits>

namespace visage::cpu {

/// Threads used by parallel_for and by oneDNN (one shared OpenMP team, so the two never compete for cores).
int num_threads();
/// Clamped to 1 ... most_threads().
void set_num_threads(int count);
/// More threads than that only cost memory, and soon more of it than there is: four a core, at least 64.
int most_threads();

/// Waiting threads of an OpenMP team spin before they sleep unless the environment says otherwise, which the run-time
/// library reads before main(). With a serial part every few milliseconds that is a tenth of the CPU time for nothing,
/// so this restarts the process once with OMP_WAIT_POLICY=passive. Call it first in main(); does nothing if
/// OMP_WAIT_POLICY or GOMP_SPINCOUNT is set.
void limit_spinning(char** argv);

namespace detail {
using Body = void (*)(void* context, std::int64_t begin, std::int64_t end);
void run(std::int64_t count, std::int64_t grain, Body body, void* context);
}  // namespace detail

/// Calls fn(begin, end) on contiguous chunks that cover [0, count), in parallel when there are at least two chunks of
/// `grain` indices. The chunks depend only on count, grain and the number of threads. The first exception is rethrown.
template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, F&& fn) {
  using Fn = std::remove_reference_t<F>;
  detail::run(
      count, grain,
      [](void* context, std::int64_t begin, std::int64_t end) { (*static_cast<Fn*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&fn)));
}

}  // namespace visage::cpu
