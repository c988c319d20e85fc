#pragma once
#include "tensor/tensor.h"

#include <benchmark/benchmark.h>

#include <functional>

namespace visage::bench {

/// Whether there is such a device; else the bench is reported as skipped.
bool available(benchmark::State& state, Device device);

/// Reproducible f32 numbers, uniform in (-range, range), on the device. Zeros would make products look faster than they
/// are: switching fewer bits leaves more power.
Tensor uniform(const Dims& size, float range, Device device, std::uint32_t seed = 1);

/// The benchmark loop of a function on a device, whose tensors exist already; returns the mean seconds of a call. Use
/// UseManualTime(). CPU: wall time. GPU: time between two events around the replay of a graph of several calls, so
/// that launches cost the host nothing; one call before, for what is set up on first use.
double run_on(benchmark::State& state, Device device, const std::function<void()>& function);

/// Bytes a second that a copy of a large array reads and writes on the device. Measured once a process, best of five.
double copy_bandwidth(Device device);

/// Adds the counters GB/s and of_copy, the fraction of copy_bandwidth(device), for `bytes` bytes in `seconds` seconds.
void report_bandwidth(benchmark::State& state, Device device, std::int64_t bytes, double seconds);

}  // namespace visage::bench
