#include "autograd/tape.h"
#include "bench/support/gpu.h"
#include "ops/attention/attention_mask.h"
#include "ops/mask_pool/mask_pool.h"

#include <benchmark/benchmark.h>

#include <random>

// 100 queries on the stride-8 level of a 480 x 864 frame; the argument is the percentage of foreground pixels.
namespace visage::ops {
namespace {

Tensor random_logits(const Dims& size, double foreground) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> draw(foreground - 1, foreground);
  Tensor logits = Tensor::empty(size);
  for (std::int64_t i = 0; i < logits.numel(); ++i) logits.data<float>()[i] = static_cast<float>(draw(random));
  return logits;
}

void pool(benchmark::State& state, DType dtype) {
  const Tensor features = Tensor::zeros({1, 6480, 256}, dtype);
  const Tensor bits =
      mask_bits(random_logits({1, 100, 6480}, static_cast<double>(state.range(0)) / 100), MaskBit::foreground);
  for (auto _ : state) benchmark::DoNotOptimize(mask_pool_bits(features, bits));
}
BENCHMARK_CAPTURE(pool, f32, DType::f32)->Arg(5)->Arg(50)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(pool, bf16, DType::bf16)->Arg(5)->Arg(50)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void threshold(benchmark::State& state) {
  const Tensor logits = random_logits({1, 100, 6480}, 0.5);
  for (auto _ : state) benchmark::DoNotOptimize(mask_bits(logits, MaskBit::visible));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(logits.nbytes()));
}
BENCHMARK(threshold)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// On a GPU: batches of 1 and 16, stride 8 of 384 x 640, 480 x 864 and 736 x 1280 (360p, 480p and 720p, padded to 32).
const std::vector<std::vector<std::int64_t>> kFrames = {{1, 16}, {48, 60, 92}};  // batch, rows
constexpr std::int64_t columns_of(std::int64_t rows) { return rows == 48 ? 80 : rows == 60 ? 108 : 160; }

/// Bytes: features and bits.
void pool_gpu(benchmark::State& state, DType dtype) {
  const std::int64_t batch = state.range(0), pixels = state.range(1) * columns_of(state.range(1));
  const Tensor features = bench::to_gpu(Tensor::zeros({batch, pixels, 256}, dtype));
  const Tensor bits = mask_bits(bench::to_gpu(random_logits({batch, 100, pixels}, 0.5)), MaskBit::foreground);
  bench::run_on_gpu(
      state,
      {2.0 * 100 * 256 * static_cast<double>(batch * pixels), static_cast<double>(features.nbytes() + bits.nbytes())},
      [&] { (void)mask_pool_bits(features, bits); });
}

/// Forward with the resize of mask logits at stride 4, and backward.
void training_gpu(benchmark::State& state) {
  const std::int64_t batch = state.range(0), rows = state.range(1), columns = columns_of(rows);
  const Tensor features = bench::to_gpu(Tensor::zeros({batch, rows, columns, 256}));
  const Tensor logits = bench::to_gpu(random_logits({batch, 100, 2 * rows, 2 * columns}, 0.5));
  const Tensor up = bench::to_gpu(Tensor::zeros({batch, 100, 256}));
  autograd::set_requires_grad(features);
  bench::run_on_gpu(state, {.flops = 4.0 * 100 * 256 * static_cast<double>(batch * rows * columns)}, [&] {
    autograd::Tape tape;
    tape.backward(mask_pool(features, logits).pooled, up);
    autograd::zero_grad(features);
  });
}

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu(
                                         "pool_f32", [](benchmark::State& s) { pool_gpu(s, DType::f32); }, kFrames) &&
                                     bench::register_on_gpu(
                                         "pool_bf16", [](benchmark::State& s) { pool_gpu(s, DType::bf16); }, kFrames) &&
                                     bench::register_on_gpu("training_f32", training_gpu, kFrames);

}  // namespace
}  // namespace visage::ops
