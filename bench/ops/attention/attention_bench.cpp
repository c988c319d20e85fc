#include "ops/attention/attention_mask.h"
#include "ops/attention/masked_attention.h"
#include "ops/attention/masked_attention_kernels.h"

#include <benchmark/benchmark.h>

#include <random>

// Cross attention of one decoder layer: 100 queries, 8 heads of 32, the three levels of a 480 x 864 frame.
namespace visage::ops {
namespace {

Tensor uniform(const Dims& size) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> draw(-1, 1);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

struct Problem {
  Tensor q, k, v;
  explicit Problem(std::int64_t keys) : q(uniform({1, 100, 256})) {
    const Tensor all = uniform({1, keys, 1536});
    k = Tensor::alias(all, {1, keys, 256}, all.stride());
    v = Tensor::alias(all, {1, keys, 256}, all.stride(), 768);
  }
};

void set_flops(benchmark::State& state) {
  state.counters["FLOP"] = benchmark::Counter(4.0 * 100 * 256 * static_cast<double>(state.range(0)),
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void cross(benchmark::State& state) {
  const Problem p(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(masked_attention(p.q, p.k, p.v));
  set_flops(state);
}
BENCHMARK(cross)->Arg(405)->Arg(1620)->Arg(6480)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void cross_with_grid_scores_and_half_the_keys(benchmark::State& state) {
  const Problem p(6480);
  AttentionOptions options;
  options.allowed = mask_bits(uniform({1, 100, 6480}), MaskBit::visible);
  options.score_y = uniform({1, 8, 100, 60});
  options.score_x = uniform({1, 8, 100, 108});
  for (auto _ : state) benchmark::DoNotOptimize(masked_attention(p.q, p.k, p.v, options));
}
BENCHMARK(cross_with_grid_scores_and_half_the_keys)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void cross_portable(benchmark::State& state) {
  const Problem p(state.range(0));
  const Tensor out = Tensor::empty({1, 100, 256});
  const MaskedAttentionArgs args{p.q.view(), p.k.view(), p.v.view(), {}, {}, {}, {}, out.view(), 8, 0.1767767f};
  for (auto _ : state) masked_attention_cpu(args);
  set_flops(state);
}
BENCHMARK(cross_portable)->Arg(6480)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace visage::ops
