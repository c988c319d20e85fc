#include "bench/support/bandwidth.h"
#include "ops/elementwise/elementwise.h"

#include <benchmark/benchmark.h>

// A 256-channel map at stride 8 of a 480 x 864 frame.
namespace visage::ops {
namespace {

const Dims kSize{1, 6480, 256};

void addition(benchmark::State& state) {
  const Tensor x = Tensor::zeros(kSize), y = Tensor::zeros(kSize);
  bench::run_memory_bound(state, 3 * static_cast<std::int64_t>(x.nbytes()),
                          [&] { benchmark::DoNotOptimize(add(x, y)); });
}
BENCHMARK(addition)->UseRealTime();

void rounding_to_bf16(benchmark::State& state) {
  const Tensor x = Tensor::zeros(kSize);
  bench::run_memory_bound(state, static_cast<std::int64_t>(x.nbytes()) * 3 / 2,
                          [&] { benchmark::DoNotOptimize(cast(x, DType::bf16)); });
}
BENCHMARK(rounding_to_bf16)->UseRealTime();

void rectification(benchmark::State& state) {
  const Tensor x = Tensor::zeros(kSize);
  bench::run_memory_bound(state, 2 * static_cast<std::int64_t>(x.nbytes()), [&] { benchmark::DoNotOptimize(relu(x)); });
}
BENCHMARK(rectification)->UseRealTime();

/// Height and width exchanged.
void permutation(benchmark::State& state) {
  const Tensor x = Tensor::zeros({60, 108, 256});
  bench::run_memory_bound(state, 2 * static_cast<std::int64_t>(x.nbytes()), [&] {
    benchmark::DoNotOptimize(permute(x, {1, 0, 2}));
  });
}
BENCHMARK(permutation)->UseRealTime();

/// Of the 12 samples of every token and head of an encoder layer.
void softmax_of_samples(benchmark::State& state) {
  const Tensor x = Tensor::zeros({8505, 8, 12});
  bench::run_memory_bound(state, 2 * static_cast<std::int64_t>(x.nbytes()),
                          [&] { benchmark::DoNotOptimize(softmax(x)); });
}
BENCHMARK(softmax_of_samples)->UseRealTime();

}  // namespace
}  // namespace visage::ops
