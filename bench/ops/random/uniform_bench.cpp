#include "bench/support/bandwidth.h"
#include "ops/random/uniform.h"

#include <benchmark/benchmark.h>

// Candidates for the uncertain points of 20 masks.
namespace visage::ops {
namespace {

void uniform_numbers(benchmark::State& state) {
  const Dims size{20, 3 * 12544, 2};
  bench::run_memory_bound(state, size.numel() * 4, [&] { benchmark::DoNotOptimize(uniform(1, size)); });
}
BENCHMARK(uniform_numbers)->UseRealTime();

}  // namespace
}  // namespace visage::ops
