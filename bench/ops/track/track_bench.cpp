// One step of each tracker at the official size: 100 queries, 256 channels, 40 + 1 classes; VISAGE with two banks of
// W = 5 frames, the others with masks of 1280 x 720.
#include "bench/support/gpu.h"
#include "ops/track/tracker_step.h"
#include "visage/tracking/tracker.h"

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

constexpr std::int64_t kWidth = 1280, kHeight = 720;

// A box, one of 20 places: five queries show each object, a little apart.
visage::ops::QueryMask box(std::int64_t query) {
  const std::int64_t place = query % 20, left = 256 * (place % 5) + 2 * (query / 20), top = 180 * (place / 5);
  visage::ops::QueryMask mask;
  mask.bits.resize(kWidth * kHeight / 64);
  for (std::int64_t x = left; x < left + 200; ++x)
    for (std::int64_t pixel = x * kHeight + top; pixel < x * kHeight + top + 150; ++pixel)
      mask.bits[pixel / 64] |= std::uint64_t{1} << pixel % 64;
  return mask;
}

// Frame after frame of the same objects, of which every fifth query is sure.
void tracker_step(benchmark::State& state, const visage::TrackingConfig& config) {
  std::mt19937 random(1);
  const Tensor object = normal({kQueries, kChannels}, random), appearance = normal({kQueries, kChannels}, random);
  std::vector<visage::ops::QueryMask> masks;
  for (std::int64_t query = 0; query < kQueries; ++query) masks.push_back(box(query));
  std::vector<visage::tracking::FrameQueries> frames;
  for (int i = 0; i < 8; ++i) {
    frames.push_back({normal({kQueries, 41}, random), noisy(object, random), noisy(appearance, random), {}, masks});
    frames.back().decoder = frames.back().object;
    for (std::int64_t query = 0; query < 20; ++query) frames.back().logits.data<float>()[query * 41 + query] += 8;
  }
  const auto tracker = visage::tracking::make_tracker(config);
  for (const auto& frame : frames) benchmark::DoNotOptimize(tracker->step(frame));
  std::size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(tracker->step(frames[next++ % frames.size()]));
}

visage::TrackingConfig kept_duplicates(visage::TrackerKind tracker) {
  visage::TrackingConfig config{.tracker = tracker};
  config.idol.nms_iou = config.ctvis.nms_iou = 1;
  return config;
}

using Kind = visage::TrackerKind;
BENCHMARK_CAPTURE(tracker_step, visage, {.tracker = Kind::visage})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, minvis, {.tracker = Kind::minvis})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, idol, {.tracker = Kind::idol})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, idol_without_nms, kept_duplicates(Kind::idol))->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, ctvis, {.tracker = Kind::ctvis})->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, ctvis_without_nms, kept_duplicates(Kind::ctvis))->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(tracker_step, qdtrack, {.tracker = Kind::qdtrack})->Unit(benchmark::kMicrosecond);

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
