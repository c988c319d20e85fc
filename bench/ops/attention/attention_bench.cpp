#include "autograd/tape.h"
#include "bench/support/gpu.h"
#include "ops/attention/attention_mask.h"
#include "ops/attention/masked_attention.h"
#include "ops/attention/masked_attention_kernels.h"
#include "ops/elementwise/elementwise.h"

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

// On a GPU: batches of 1 and 16, stride 8 of 384 x 640, 480 x 864 and 736 x 1280 (360p, 480p and 720p, padded to 32).
const std::vector<std::vector<std::int64_t>> kFrames = {{1, 16}, {3840, 6480, 14720}};

struct GpuProblem {
  Tensor q, k, v, gout;
  AttentionOptions options;
  bench::Work work;

  /// Half of the keys are visible. Bytes: q, k, v and the result.
  GpuProblem(std::int64_t batch, std::int64_t keys, DType dtype) {
    const auto make = [&](const Dims& size, DType type) {
      return bench::to_gpu(type == DType::f32 ? uniform(size) : cast(uniform(size), type));
    };
    q = make({batch, 100, 256}, DType::f32);
    k = make({batch, keys, 256}, dtype);
    v = make({batch, keys, 256}, dtype);
    gout = make({batch, 100, 256}, DType::f32);
    options.allowed = bench::to_gpu(mask_bits(uniform({batch, 100, keys}), MaskBit::visible));
    work.flops = 4.0 * 100 * 256 * static_cast<double>(batch * keys);
    work.bytes = static_cast<double>(2 * q.nbytes() + 2 * k.nbytes());
  }
};

void cross_gpu(benchmark::State& state, DType dtype) {
  const GpuProblem p(state.range(0), state.range(1), dtype);
  bench::run_on_gpu(state, p.work, [&] { (void)masked_attention(p.q, p.k, p.v, p.options); });
}

/// As the planned decoder calls it: bf16 keys, terms for the rows and columns of the map.
void cross_grid_gpu(benchmark::State& state) {
  const std::int64_t batch = state.range(0), keys = state.range(1);
  const std::int64_t width = keys == 3840 ? 80 : keys == 6480 ? 108 : 160;
  GpuProblem p(batch, keys, DType::bf16);
  p.options.score_y = bench::to_gpu(uniform({batch, 8, 100, keys / width}));
  p.options.score_x = bench::to_gpu(uniform({batch, 8, 100, width}));
  bench::run_on_gpu(state, p.work, [&] { (void)masked_attention(p.q, p.k, p.v, p.options); });
}

/// Forward and backward: two products and five.
void cross_training_gpu(benchmark::State& state) {
  const GpuProblem p(state.range(0), state.range(1), DType::f32);
  for (const Tensor& x : {p.q, p.k, p.v}) autograd::set_requires_grad(x);
  bench::run_on_gpu(state, {.flops = 3.5 * p.work.flops}, [&] {
    autograd::Tape tape;
    tape.backward(masked_attention(p.q, p.k, p.v, p.options), p.gout);
    for (const Tensor& x : {p.q, p.k, p.v}) autograd::zero_grad(x);
  });
}

void self_gpu(benchmark::State& state) {
  const Tensor x = bench::to_gpu(uniform({state.range(0), 100, 256}));
  bench::run_on_gpu(state, {.flops = 4.0 * 100 * 100 * 256 * static_cast<double>(state.range(0))},
                    [&] { (void)masked_attention(x, x, x); });
}

void threshold_gpu(benchmark::State& state) {
  const Tensor logits = bench::to_gpu(uniform({state.range(0), 100, state.range(1)}));
  bench::run_on_gpu(state, {.bytes = static_cast<double>(logits.nbytes()) * 33 / 32},
                    [&] { (void)mask_bits(logits, MaskBit::visible); });
}

[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu(
        "cross_f32", [](benchmark::State& s) { cross_gpu(s, DType::f32); }, kFrames) &&
    bench::register_on_gpu(
        "cross_bf16", [](benchmark::State& s) { cross_gpu(s, DType::bf16); }, kFrames) &&
    bench::register_on_gpu("cross_bf16_with_grid_scores", cross_grid_gpu, kFrames) &&
    bench::register_on_gpu("cross_training_f32", cross_training_gpu, kFrames) &&
    bench::register_on_gpu("self", self_gpu, {{1, 16}}) && bench::register_on_gpu("threshold", threshold_gpu, kFrames);

}  // namespace
}  // namespace visage::ops
