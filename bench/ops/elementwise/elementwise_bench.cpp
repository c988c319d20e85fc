#include "bench/support/bandwidth.h"
#include "bench/support/gpu.h"
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

// On a GPU: the same with a batch. Bytes: what is read and written.
const std::vector<std::vector<std::int64_t>> kBatches = {{1, 16}};

Tensor map_gpu(const benchmark::State& state) { return bench::to_gpu(Tensor::zeros({state.range(0), 60, 108, 256})); }

void addition_gpu(benchmark::State& state) {
  const Tensor x = map_gpu(state), y = map_gpu(state);
  bench::run_on_gpu(state, {.bytes = 3.0 * static_cast<double>(x.nbytes())}, [&] { (void)add(x, y); });
}

void rounding_gpu(benchmark::State& state) {
  const Tensor x = map_gpu(state);
  bench::run_on_gpu(state, {.bytes = 1.5 * static_cast<double>(x.nbytes())}, [&] { (void)cast(x, DType::bf16); });
}

/// Channels before pixels: the tiled transposition.
void permutation_gpu(benchmark::State& state) {
  const Tensor x = map_gpu(state);
  bench::run_on_gpu(state, {.bytes = 2.0 * static_cast<double>(x.nbytes())}, [&] { (void)permute(x, {0, 3, 1, 2}); });
}

void softmax_gpu(benchmark::State& state) {
  const Tensor x = bench::to_gpu(Tensor::zeros({state.range(0) * 100, 41}));
  bench::run_on_gpu(state, {.bytes = 2.0 * static_cast<double>(x.nbytes())}, [&] { (void)softmax(x); });
}

void sum_gpu(benchmark::State& state) {
  const Tensor x = map_gpu(state);
  bench::run_on_gpu(state, {.bytes = static_cast<double>(x.nbytes())}, [&] { (void)sum_all(x); });
}

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("addition", addition_gpu, kBatches) &&
                                     bench::register_on_gpu("rounding_to_bf16", rounding_gpu, kBatches) &&
                                     bench::register_on_gpu("permutation", permutation_gpu, kBatches) &&
                                     bench::register_on_gpu("softmax_of_classes", softmax_gpu, kBatches) &&
                                     bench::register_on_gpu("sum", sum_gpu, kBatches);

}  // namespace
}  // namespace visage::ops
