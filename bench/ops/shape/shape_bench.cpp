#include "bench/support/bandwidth.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/gather_rows.h"

#include <benchmark/benchmark.h>

// The token pyramid of a 480 x 864 frame from its three levels; rows of the matched queries.
namespace visage::ops {
namespace {

void concatenation(benchmark::State& state) {
  const std::vector<Tensor> levels = {Tensor::zeros({1, 405, 256}), Tensor::zeros({1, 1620, 256}),
                                      Tensor::zeros({1, 6480, 256})};
  bench::run_memory_bound(state, 2 * 8505 * 256 * 4, [&] { benchmark::DoNotOptimize(concatenate(levels, 1)); });
}
BENCHMARK(concatenation)->UseRealTime();

void rows(benchmark::State& state) {
  const Tensor x = Tensor::zeros({100, 256});
  const Tensor index = Tensor::empty({40}, DType::i64);
  for (std::int64_t i = 0; i < 40; ++i) index.data<std::int64_t>()[i] = i * 37 % 100;
  bench::run_memory_bound(state, 2 * 40 * 256 * 4, [&] { benchmark::DoNotOptimize(gather_rows(x, index)); });
}
BENCHMARK(rows)->UseRealTime();

}  // namespace
}  // namespace visage::ops
