// One step of the tracker at the official size: 100 queries, 256 channels, two banks of W = 5 frames, 40 + 1 classes.
#include "bench/support/gpu.h"
#include "ops/track/tracker_step.h"
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

// On a GPU. Bytes of a step: the frame, copied; the frames of the window; both memories.
void tracker_step_gpu(benchmark::State& state) {
  using namespace visage;
  std::mt19937 random(1);
  const std::int64_t window = state.range(0);
  const Tensor object = normal({kQueries, kChannels}, random), appearance = normal({kQueries, kChannels}, random);
  std::vector<ops::TrackerFrame> frames;
  for (int i = 0; i < 8; ++i)
    frames.push_back({bench::to_gpu(normal({kQueries, 41}, random)), bench::to_gpu(noisy(object, random)),
                      bench::to_gpu(noisy(appearance, random))});
  const auto tracker = ops::make_tracker_state({kQueries, 41, kChannels, kChannels, window}, frames[0].object.device());
  const double kind = 4.0 * kQueries * kChannels;
  std::size_t next = 0;
  bench::run_on_gpu(state, {4.0 * kQueries * kQueries * kChannels, 2 * kind * static_cast<double>(2 + window + 1)},
                    [&] { ops::tracker_step(tracker, frames[next++ % frames.size()]); });
}
[[maybe_unused]] const bool kOnGpu = visage::bench::register_on_gpu("tracker_step", tracker_step_gpu, {{1, 5, 30}});

}  // namespace
