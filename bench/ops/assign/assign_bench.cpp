// Assignment of 100 queries: a matrix as the tracker sees it (one clear partner each) and one of uniform noise.
#include "bench/support/gpu.h"
#include "ops/assign/assign_batch.h"

#include <benchmark/benchmark.h>

#include <random>

namespace {

constexpr int kQueries = 100;

std::vector<float> uniform(int rows, int columns) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> distribution(0, 1);
  std::vector<float> cost(static_cast<std::size_t>(rows) * columns);
  for (float& value : cost) value = distribution(random);
  return cost;
}

void assign_tracker_like(benchmark::State& state) {
  std::vector<float> similarity = uniform(kQueries, kQueries);
  for (int i = 0; i < kQueries; ++i) similarity[i * kQueries + (i * 37) % kQueries] += 1;
  for (auto _ : state)
    benchmark::DoNotOptimize(visage::ops::assign(similarity, kQueries, kQueries, visage::ops::Objective::maximise));
}
BENCHMARK(assign_tracker_like)->Unit(benchmark::kMicrosecond);

void assign_uniform(benchmark::State& state) {
  const std::vector<float> cost = uniform(kQueries, kQueries);
  for (auto _ : state) benchmark::DoNotOptimize(visage::ops::assign(cost, kQueries, kQueries));
}
BENCHMARK(assign_uniform)->Unit(benchmark::kMicrosecond);

/// The matcher of a training frame: 100 queries, 20 instances.
void assign_instances(benchmark::State& state) {
  const std::vector<float> cost = uniform(kQueries, 20);
  for (auto _ : state) benchmark::DoNotOptimize(visage::ops::assign(cost, kQueries, 20));
}
BENCHMARK(assign_instances)->Unit(benchmark::kMicrosecond);

/// The matchings of a training step on a GPU: 100 queries and 20 instances in 160 frames and heads.
void batch_gpu(benchmark::State& state) {
  constexpr int kProblems = 160, kInstances = 20;
  const std::vector<float> cost = uniform(kProblems * kQueries, kInstances);
  const visage::Tensor batch =
      visage::bench::to_gpu(visage::Tensor::from({kProblems, kQueries, kInstances}, cost.data()));
  visage::bench::run_on_gpu(state, {.flops = 0, .bytes = static_cast<double>(batch.nbytes())},
                            [&] { benchmark::DoNotOptimize(visage::ops::assign_batch(batch)); });
}

/// One matrix as large as the tracker's.
void one_gpu(benchmark::State& state) {
  const visage::Tensor cost =
      visage::bench::to_gpu(visage::Tensor::from({1, kQueries, kQueries}, uniform(kQueries, kQueries).data()));
  visage::bench::run_on_gpu(state, {.flops = 0, .bytes = static_cast<double>(cost.nbytes())},
                            [&] { benchmark::DoNotOptimize(visage::ops::assign_batch(cost)); });
}

[[maybe_unused]] const bool kOnGpu = visage::bench::register_on_gpu("assign_batch", batch_gpu, {}) &&
                                     visage::bench::register_on_gpu("assign_uniform", one_gpu, {});

}  // namespace
