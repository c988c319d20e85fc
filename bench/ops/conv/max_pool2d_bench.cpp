#include "bench/support/bandwidth.h"
#include "ops/conv/max_pool2d.h"

#include <benchmark/benchmark.h>

// After the stem of a 480 x 864 frame. Bytes: the input and a quarter of it as output.
namespace visage::ops {
namespace {

void forward(benchmark::State& state, DType dtype) {
  const Tensor x = Tensor::zeros({1, 240, 432, 64}, dtype);
  bench::run_memory_bound(state, static_cast<std::int64_t>(x.nbytes()) * 5 / 4,
                          [&] { benchmark::DoNotOptimize(max_pool2d(x, {})); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->UseRealTime();

}  // namespace
}  // namespace visage::ops
