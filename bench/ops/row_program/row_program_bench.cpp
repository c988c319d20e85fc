#include "bench/support/gpu.h"
#include "ops/row_program/row_program.h"

#include <benchmark/benchmark.h>

#include <random>

// The parts of a decoder layer between its attentions: 100 queries of 256 channels, 2048 hidden units.
namespace visage::ops {
namespace {

Tensor uniform(const Dims& size) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> draw(-0.1f, 0.1f);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

constexpr std::int64_t kQueries = 100, kChannels = 256, kHidden = 2048;

struct Layer {
  Tensor x, attended, weight, bias, weight1, bias1, weight2;

  explicit Layer(const std::function<Tensor(const Tensor&)>& place)
      : x(place(uniform({1, kQueries, kChannels}))),
        attended(place(uniform({1, kQueries, kChannels}))),
        weight(place(uniform({kChannels, kChannels}))),
        bias(place(uniform({kChannels}))),
        weight1(place(uniform({kHidden, kChannels}))),
        bias1(place(uniform({kHidden}))),
        weight2(place(uniform({kChannels, kHidden}))) {}

  RowProgram::Rows finish_attention(RowProgram& rows, DType dtype) const {
    const auto projected = rows.linear(rows.load(attended), weight, bias, {.dtype = dtype});
    return rows.add_layer_norm(rows.load(x), projected, bias, bias);
  }
  void after_cross_attention(DType dtype) const {
    RowProgram rows(x.device(), 1, kQueries);
    const auto y = finish_attention(rows, dtype);
    benchmark::DoNotOptimize(rows.store(y));
    for (int part = 0; part < 3; ++part) {
      rows.branch();
      benchmark::DoNotOptimize(rows.store(rows.linear(y, weight, bias, {.dtype = dtype})));
    }
    rows.run();
  }
  void after_self_attention(DType dtype) const {
    RowProgram rows(x.device(), 1, kQueries);
    const auto y = finish_attention(rows, dtype);
    benchmark::DoNotOptimize(rows.store(y));
    benchmark::DoNotOptimize(rows.feed_forward(y, weight1, bias1, weight2, bias, dtype));
    rows.run();
  }
};

constexpr double kCrossFlops = 2.0 * kQueries * 4 * kChannels * kChannels;
constexpr double kSelfFlops = 2.0 * kQueries * (kChannels * kChannels + 2 * kChannels * kHidden);

void after_attention(benchmark::State& state, bool self, DType dtype) {
  const Layer layer([](const Tensor& t) { return t; });
  for (auto _ : state) self ? layer.after_self_attention(dtype) : layer.after_cross_attention(dtype);
  state.counters["FLOP"] =
      benchmark::Counter(self ? kSelfFlops : kCrossFlops, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(after_attention, cross_f32, false, DType::f32)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(after_attention, self_f32, true, DType::f32)->MeasureProcessCPUTime();

void after_attention_gpu(benchmark::State& state, bool self, DType dtype) {
  const Layer layer(bench::to_gpu);
  bench::run_on_gpu(state, {.flops = self ? kSelfFlops : kCrossFlops},
                    [&] { self ? layer.after_self_attention(dtype) : layer.after_cross_attention(dtype); });
}

bool register_on_gpu(const char* name, bool self, DType dtype) {
  return bench::register_on_gpu(name, [=](benchmark::State& s) { after_attention_gpu(s, self, dtype); }, {{1}});
}
[[maybe_unused]] const bool kOnGpu = register_on_gpu("after_cross_attention_f32", false, DType::f32) &&
                                     register_on_gpu("after_cross_attention_bf16", false, DType::bf16) &&
                                     register_on_gpu("after_self_attention_f32", true, DType::f32) &&
                                     register_on_gpu("after_self_attention_bf16", true, DType::bf16);

}  // namespace
}  // namespace visage::ops
