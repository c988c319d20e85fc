#include "bench/support/bandwidth.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/group_norm.h"

#include <benchmark/benchmark.h>

// 256 channels at stride 8 and at stride 4 of a 480 x 864 frame.
namespace visage::ops {
namespace {

// Bytes: x for the statistics, x again and y.
void forward(benchmark::State& state, DType dtype) {
  const Tensor x = cast(Tensor::zeros({1, state.range(0), 256}), dtype);
  const Tensor weight = Tensor::zeros({256}), bias = Tensor::zeros({256});
  bench::run_memory_bound(state, 3 * static_cast<std::int64_t>(x.nbytes()), [&] {
    benchmark::DoNotOptimize(group_norm(x, weight, bias, {.activation = Activation::relu}));
  });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->Arg(6480)->Arg(25920)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->Arg(6480)->Arg(25920)->UseRealTime();

}  // namespace
}  // namespace visage::ops
