#include "bench/support/bandwidth.h"

#include "visage/profile/ceilings.h"

namespace visage::bench {

double copy_bandwidth() {
  static const double bandwidth = profile::copy_bandwidth({});
  return bandwidth;
}

void report_bandwidth(benchmark::State& state, std::int64_t bytes, double seconds) {
  const double rate = static_cast<double>(bytes) * static_cast<double>(state.iterations()) / seconds;
  state.counters["GB/s"] = rate / 1e9;
  state.counters["of_copy"] = rate / copy_bandwidth();
}

}  // namespace visage::bench
