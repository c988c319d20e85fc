#include "bench/support/bandwidth.h"
#include "bench/support/compute.h"
#include "bench/support/gpu.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/onednn.h"

#include <benchmark/benchmark.h>

#include <random>

// What the machine can do at most, to compare kernels with: the bandwidth of a copy, and the rate of the library's
// matrix product, of two squares of the side that is the argument. The numbers are random: zeros look faster, since
// they switch fewer bits and leave more power.
namespace visage {
namespace {

Tensor square(std::int64_t side, DType dtype) {
  std::minstd_rand random(static_cast<std::uint32_t>(side));
  Tensor x = Tensor::empty({1, side, side});
  constexpr float kScale = 2.f / static_cast<float>(std::minstd_rand::max());
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(random()) * kScale - 1;
  return ops::cast(x, dtype);
}

double flops_of(std::int64_t side) { return 2.0 * static_cast<double>(side) * static_cast<double>(side * side); }

// The time is that of 1 GB.
void report_copy(benchmark::State& state, double rate) {
  for (auto _ : state) state.SetIterationTime(1e9 / rate);
  state.counters["GB/s"] = rate / 1e9;
}

void copy(benchmark::State& state) { report_copy(state, bench::copy_bandwidth()); }
BENCHMARK(copy)->UseManualTime()->Iterations(1);

void product(benchmark::State& state, DType dtype) {
  if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) return state.SkipWithError("no bf16 instructions");
  const Tensor x = square(state.range(0), dtype);
  bench::run_compute_bound(state, flops_of(state.range(0)), [&] { benchmark::DoNotOptimize(ops::matmul_nt(x, x)); });
}
BENCHMARK_CAPTURE(product, f32, DType::f32)->Arg(2048)->UseRealTime();
BENCHMARK_CAPTURE(product, bf16, DType::bf16)->Arg(2048)->UseRealTime();

void copy_gpu(benchmark::State& state) { report_copy(state, bench::gpu_copy_bandwidth()); }

void product_gpu(benchmark::State& state, DType dtype) {
  const Tensor x = bench::random_on_gpu({1, state.range(0), state.range(0)}, dtype);
  bench::run_on_gpu(state, {.flops = flops_of(state.range(0))}, [&] { (void)ops::matmul_nt(x, x); });
}

[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu("copy", copy_gpu, {{1}}) &&
    bench::register_on_gpu("product_f32", [](benchmark::State& s) { product_gpu(s, DType::f32); }, {{8192}}) &&
    bench::register_on_gpu("product_bf16", [](benchmark::State& s) { product_gpu(s, DType::bf16); }, {{8192}});

}  // namespace
}  // namespace visage
