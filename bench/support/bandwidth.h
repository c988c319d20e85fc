#pragma once
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>

namespace visage::bench {

/// profile::copy_bandwidth of the CPU, the ceiling of every kernel that is bound by memory; measured once a process.
double copy_bandwidth();

/// Adds the counters GB/s and of_copy, the fraction of copy_bandwidth(). It exceeds one when the data fit into a cache.
void report_bandwidth(benchmark::State& state, std::int64_t bytes, double seconds);

/// The benchmark loop of a function that reads and writes `bytes` bytes a call, by wall time (use UseRealTime()).
template <class F>
void run_memory_bound(benchmark::State& state, std::int64_t bytes, F&& function) {
  copy_bandwidth();  // measured before the clock starts
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) function();
  report_bandwidth(state, bytes, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace visage::bench
