#include "bench/support/bandwidth.h"
#include "bench/support/gpu.h"
#include "tensor/cpu/onednn.h"
#include "visage/profile/ceilings.h"

#include <benchmark/benchmark.h>

#include <map>

// What the machine can do at most, to compare kernels with: the bandwidth of a copy, and the rate of the library's
// product of two large squares. visage profile compares with the same.
namespace visage {
namespace {

constexpr Device kGpu{DeviceType::cuda, 0};

// The time is that of 1e9 bytes or operations.
void report(benchmark::State& state, const char* unit, double rate) {
  for (auto _ : state) state.SetIterationTime(1e9 / rate);
  state.counters[unit] = rate / 1e9;
}

void copy(benchmark::State& state, Device device) {
  report(state, "GB/s", device == kGpu ? bench::gpu_copy_bandwidth() : bench::copy_bandwidth());
}
BENCHMARK_CAPTURE(copy, cpu, Device{})->UseManualTime()->Iterations(1);

// Measured once: the library calls a benchmark again until its times add up.
double product_rate(Device device, DType dtype) {
  static std::map<std::pair<DeviceType, DType>, double> rates;
  double& rate = rates[{device.type, dtype}];
  if (rate == 0) rate = profile::product_rate(device, dtype);
  return rate;
}

void product(benchmark::State& state, Device device, DType dtype) {
  const bool slow = device.type == DeviceType::cpu && dtype == DType::bf16 && !cpu::onednn::has_fast_bf16();
  if (slow) return state.SkipWithError("no bf16 instructions");
  report(state, "GFLOP/s", product_rate(device, dtype));
}
BENCHMARK_CAPTURE(product, f32, Device{}, DType::f32)->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(product, bf16, Device{}, DType::bf16)->UseManualTime()->Iterations(1);

[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu("copy", [](benchmark::State& s) { copy(s, kGpu); }, {}) &&
    bench::register_on_gpu("product_f32", [](benchmark::State& s) { product(s, kGpu, DType::f32); }, {}) &&
    bench::register_on_gpu("product_bf16", [](benchmark::State& s) { product(s, kGpu, DType::bf16); }, {});

}  // namespace
}  // namespace visage
