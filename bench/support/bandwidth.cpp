#include "bench/support/bandwidth.h"

#include "tensor/cpu/parallel.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <vector>

namespace visage::bench {

double copy_bandwidth() {
  static const double bandwidth = [] {
    constexpr std::int64_t kBytes = std::int64_t{1} << 28;  // beyond any cache
    std::vector<char> from(kBytes, 1), to(kBytes, 2);
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      cpu::parallel_for(kBytes, 1 << 20, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
      });
      benchmark::DoNotOptimize(to.data());
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return 2 * static_cast<double>(kBytes) / best;
  }();
  return bandwidth;
}

void report_bandwidth(benchmark::State& state, std::int64_t bytes, double seconds) {
  const double rate = static_cast<double>(bytes) * static_cast<double>(state.iterations()) / seconds;
  state.counters["GB/s"] = rate / 1e9;
  state.counters["of_copy"] = rate / copy_bandwidth();
}

}  // namespace visage::bench
