#include "bench/support/device.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/onednn.h"

#include <benchmark/benchmark.h>

// What the machine can do at most, to compare kernels with: the bandwidth of a copy, and the rate of the library's
// matrix product.
namespace visage {
namespace {

constexpr Device kCpu{}, kGpu{DeviceType::cuda, 0};

void copy(benchmark::State& state, Device device) {
  if (!bench::available(state, device)) return;
  const double rate = bench::copy_bandwidth(device);
  for (auto _ : state) state.SetIterationTime(1e9 / rate);
  state.counters["GB/s"] = rate / 1e9;
}
// The time is that of 1 GB.
BENCHMARK_CAPTURE(copy, cpu, kCpu)->UseManualTime()->Iterations(1);
BENCHMARK_CAPTURE(copy, gpu, kGpu)->UseManualTime()->Iterations(1);

// The product of two squares of this side.
void product(benchmark::State& state, Device device, DType dtype) {
  if (!bench::available(state, device)) return;
  if (device == kCpu && dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) {
    return state.SkipWithError("no bf16 instructions");
  }
  const std::int64_t side = state.range(0);
  const Tensor a = ops::cast(bench::uniform({1, side, side}, 1, device, 1), dtype);
  const Tensor b = ops::cast(bench::uniform({1, side, side}, 1, device, 2), dtype);
  const double seconds = bench::run_on(state, device, [&] { benchmark::DoNotOptimize(ops::matmul_nt(a, b)); });
  state.counters["GFLOP/s"] = 2e-9 * static_cast<double>(side * side * side) / seconds;
}
BENCHMARK_CAPTURE(product, cpu_f32, kCpu, DType::f32)->Arg(2048)->UseManualTime();
BENCHMARK_CAPTURE(product, cpu_bf16, kCpu, DType::bf16)->Arg(2048)->UseManualTime();
BENCHMARK_CAPTURE(product, gpu_f32, kGpu, DType::f32)->Arg(8192)->UseManualTime();
BENCHMARK_CAPTURE(product, gpu_bf16, kGpu, DType::bf16)->Arg(8192)->UseManualTime();

}  // namespace
}  // namespace visage
