#pragma once
#include <benchmark/benchmark.h>

#include <chrono>

namespace visage::bench {

/// The benchmark loop of a function that does `flops` floating point operations a call (a multiply-add counts two), by
/// wall time (use UseRealTime()). Adds the counter GFLOP/s.
template <class F>
void run_compute_bound(benchmark::State& state, double flops, F&& function) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) function();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  state.counters["GFLOP/s"] = 1e-9 * flops * static_cast<double>(state.iterations()) / seconds;
}

}  // namespace visage::bench
