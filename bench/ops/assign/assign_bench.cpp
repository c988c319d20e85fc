// Assignment of 100 queries: a matrix as the tracker sees it (one clear partner each) and one of uniform noise.
#include "ops/assign/hungarian.h"

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

}  // namespace
