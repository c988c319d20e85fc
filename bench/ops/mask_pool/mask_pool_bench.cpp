#include "ops/attention/attention_mask.h"
#include "ops/mask_pool/mask_pool.h"

#include <benchmark/benchmark.h>

#include <random>

// 100 queries on the stride-8 level of a 480 x 864 frame; the argument is the percentage of foreground pixels.
namespace visage::ops {
namespace {

Tensor random_logits(double foreground) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> draw(foreground - 1, foreground);
  Tensor logits = Tensor::empty({1, 100, 6480});
  for (std::int64_t i = 0; i < logits.numel(); ++i) logits.data<float>()[i] = static_cast<float>(draw(random));
  return logits;
}

void pool(benchmark::State& state, DType dtype) {
  const Tensor features = Tensor::zeros({1, 6480, 256}, dtype);
  const Tensor bits = mask_bits(random_logits(static_cast<double>(state.range(0)) / 100), MaskBit::foreground);
  for (auto _ : state) benchmark::DoNotOptimize(mask_pool_bits(features, bits));
}
BENCHMARK_CAPTURE(pool, f32, DType::f32)->Arg(5)->Arg(50)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(pool, bf16, DType::bf16)->Arg(5)->Arg(50)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void threshold(benchmark::State& state) {
  const Tensor logits = random_logits(0.5);
  for (auto _ : state) benchmark::DoNotOptimize(mask_bits(logits, MaskBit::visible));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(logits.nbytes()));
}
BENCHMARK(threshold)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace visage::ops
