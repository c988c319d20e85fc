#include "autograd/tape.h"
#include "bench/support/gpu.h"
#include "ops/point_sample/point_sample.h"
#include "tensor/cuda/determinism.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

// The points of the matcher and of the mask losses on the mask features of a 256 x 448 training frame (stride 4):
// 12544 points, 256 channels; 4 masks, three candidates a point.
namespace visage::ops {
namespace {

constexpr std::int64_t kHeight = 64, kWidth = 112, kChannels = 256, kPoints = 12544, kMasks = 4;

Tensor uniform(const Dims& size, float low = 0) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> draw(low, 1);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

void features(benchmark::State& state) {
  const Tensor image = uniform({1, kHeight, kWidth, kChannels}), points = uniform({1, kPoints, 2});
  for (auto _ : state) benchmark::DoNotOptimize(point_sample(image, points));
}
BENCHMARK(features)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// grid_sample as libraries define it: planes [C, H, W], one after the other.
void features_by_grid_sample(benchmark::State& state) {
  const Tensor planes = uniform({kChannels, kHeight, kWidth}), points = uniform({kPoints, 2});
  Tensor out = Tensor::empty({kChannels, kPoints});
  for (auto _ : state) {
    for (std::int64_t c = 0; c < kChannels; ++c) {
      const float* plane = planes.data<float>() + c * kHeight * kWidth;
      const auto read = [&](std::int64_t y, std::int64_t x) {
        return x < 0 || y < 0 || x >= kWidth || y >= kHeight ? 0.f : plane[y * kWidth + x];
      };
      for (std::int64_t p = 0; p < kPoints; ++p) {
        const float x = points.data<float>()[2 * p] * kWidth - 0.5f,
                    y = points.data<float>()[2 * p + 1] * kHeight - 0.5f;
        const float left = std::floor(x), top = std::floor(y), fx = x - left, fy = y - top;
        const auto x0 = static_cast<std::int64_t>(left), y0 = static_cast<std::int64_t>(top);
        out.data<float>()[c * kPoints + p] = (1 - fy) * ((1 - fx) * read(y0, x0) + fx * read(y0, x0 + 1)) +
                                             fy * ((1 - fx) * read(y0 + 1, x0) + fx * read(y0 + 1, x0 + 1));
      }
    }
    benchmark::DoNotOptimize(out.data<float>());
  }
}
BENCHMARK(features_by_grid_sample)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void planes(benchmark::State& state) {
  const Tensor masks = uniform({kMasks, kHeight, kWidth}), points = uniform({kMasks, kPoints, 2});
  for (auto _ : state) benchmark::DoNotOptimize(point_sample_planes(masks, points));
}
BENCHMARK(planes)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void choice(benchmark::State& state) {
  const Tensor masks = uniform({kMasks, kHeight, kWidth}, -1);
  const Tensor candidates = uniform({kMasks, 3 * kPoints, 2}), random = uniform({kMasks, kPoints / 4, 2});
  for (auto _ : state) benchmark::DoNotOptimize(uncertain_points(masks, candidates, random, kPoints));
}
BENCHMARK(choice)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// On a GPU: number of masks.
const std::vector<std::vector<std::int64_t>> kCounts = {{4, 64}};

void planes_gpu(benchmark::State& state) {
  const Tensor masks = bench::to_gpu(uniform({state.range(0), kHeight, kWidth}));
  const Tensor points = bench::to_gpu(uniform({state.range(0), kPoints, 2}));
  bench::run_on_gpu(state, {.bytes = static_cast<double>(masks.nbytes()) + 1.5 * static_cast<double>(points.nbytes())},
                    [&] { (void)point_sample_planes(masks, points); });
}

/// Forward and the gradient of the masks, summed in the one or the other way.
void training_gpu(benchmark::State& state, bool deterministic) {
  const cuda::DeterminismScope scope(deterministic);
  const Tensor masks = bench::to_gpu(uniform({state.range(0), kHeight, kWidth}));
  const Tensor points = bench::to_gpu(uniform({state.range(0), kPoints, 2}));
  const Tensor up = bench::to_gpu(uniform({state.range(0), kPoints}));
  autograd::set_requires_grad(masks);
  bench::run_on_gpu(state, {}, [&] {
    autograd::Tape tape;
    tape.backward(point_sample_planes(masks, points), up);
    autograd::zero_grad(masks);
  });
}
void deterministic_gpu(benchmark::State& state) { training_gpu(state, true); }
void atomic_gpu(benchmark::State& state) { training_gpu(state, false); }

void choice_gpu(benchmark::State& state) {
  const Tensor masks = bench::to_gpu(uniform({state.range(0), kHeight, kWidth}, -1));
  const Tensor candidates = bench::to_gpu(uniform({state.range(0), 3 * kPoints, 2}));
  const Tensor random = bench::to_gpu(uniform({state.range(0), kPoints / 4, 2}));
  bench::run_on_gpu(state, {}, [&] { (void)uncertain_points(masks, candidates, random, kPoints); });
}

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("planes", planes_gpu, kCounts) &&
                                     bench::register_on_gpu("training_deterministic", deterministic_gpu, kCounts) &&
                                     bench::register_on_gpu("training_atomic", atomic_gpu, kCounts) &&
                                     bench::register_on_gpu("choice", choice_gpu, kCounts);

}  // namespace
}  // namespace visage::ops
