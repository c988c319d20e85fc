#include "bench/support/compute.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/onednn.h"

#include <benchmark/benchmark.h>

// Products of a 480 x 864 frame: the encoder's projection and FFN (8505 tokens), keys and values of a decoder level,
// the decoder's FFN (100 queries).
namespace visage::ops {
namespace {

struct Shape {
  std::int64_t rows, in, out;
};
constexpr Shape kShapes[] = {{8505, 256, 544},  {8505, 256, 1024}, {8505, 1024, 256},
                             {6480, 256, 1536}, {100, 256, 2048},  {100, 2048, 256}};

void forward(benchmark::State& state, DType dtype) {
  if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) return state.SkipWithError("no bf16 instructions");
  const Shape& s = kShapes[state.range(0)];
  const Tensor x = cast(Tensor::zeros({s.rows, s.in}), dtype);
  const Tensor weight = Tensor::zeros({s.out, s.in}), bias = Tensor::zeros({s.out});
  const double flops = 2.0 * static_cast<double>(s.rows * s.in * s.out);
  bench::run_compute_bound(state, flops, [&] { benchmark::DoNotOptimize(linear(x, weight, bias, {.dtype = dtype})); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->DenseRange(0, 5)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->DenseRange(0, 5)->UseRealTime();

}  // namespace
}  // namespace visage::ops
