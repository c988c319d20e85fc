// One step of the tracker at the official size: 100 queries, 256 channels, two banks of W = 5 frames, 40 + 1 classes.
#include "ops/track/memory_read.h"
#include "ops/track/similarity.h"
#include "visage/tracking/visage_tracker.h"

#include <benchmark/benchmark.h>

#include <random>

namespace {

using visage::Dims;
using visage::Tensor;

constexpr std::int64_t kQueries = 100, kChannels = 256, kWindow = 5;

Tensor normal(const Dims& size, std::mt19937& random, float deviation = 1) {
  std::normal_distribution<float> distribution(0, deviation);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = distribution(random);
  return x;
}

Tensor noisy(const Tensor& x, std::mt19937& random) {
  Tensor y = normal(x.size(), random, 0.3f);
  for (std::int64_t i = 0; i < x.numel(); ++i) y.data<float>()[i] += x.data<float>()[i];
  return y;
}

void cosine_similarity(benchmark::State& state) {
  std::mt19937 random(1);
  const Tensor a = normal({kQueries, kChannels}, random), b = normal({kQueries, kChannels}, random);
  for (auto _ : state) benchmark::DoNotOptimize(visage::ops::cosine_similarity(a, b));
  state.counters["FLOP/s"] =
      benchmark::Counter(2.0 * kQueries * kQueries * kChannels, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(cosine_similarity)->Unit(benchmark::kMicrosecond);

void memory_read(benchmark::State& state) {
  std::mt19937 random(1);
  const Tensor bank = normal({kWindow, kQueries, kChannels}, random), weights = normal({kWindow, kQueries}, random);
  for (auto _ : state) benchmark::DoNotOptimize(visage::ops::memory_read(bank, weights));
  state.SetBytesProcessed(state.iterations() * 4 * (kWindow + 1) * kQueries * kChannels);
}
BENCHMARK(memory_read)->Unit(benchmark::kMicrosecond);

void tracker_step(benchmark::State& state) {
  std::mt19937 random(1);
  const Tensor object = normal({kQueries, kChannels}, random), appearance = normal({kQueries, kChannels}, random);
  std::vector<visage::tracking::FrameQueries> frames;
  for (int i = 0; i < 8; ++i)
    frames.push_back({normal({kQueries, 41}, random), noisy(object, random), noisy(appearance, random)});
  visage::tracking::VisageTracker tracker;
  for (const auto& frame : frames) benchmark::DoNotOptimize(tracker.step(frame));
  std::size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(tracker.step(frames[next++ % frames.size()]));
}
BENCHMARK(tracker_step)->Unit(benchmark::kMicrosecond);

}  // namespace
