#include "bench/support/bandwidth.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"

#include <benchmark/benchmark.h>

// Parameters of the size of the R50 model, 45 million in 360 tensors; bound by memory.
namespace visage::ops {
namespace {

constexpr std::int64_t kTensors = 360, kCount = 126000;

std::vector<AdamWTensor> parameters() {
  const Dims size{kCount};
  std::vector<AdamWTensor> all;
  for (std::int64_t i = 0; i < kTensors; ++i)
    all.push_back({Tensor::zeros(size), Tensor::zeros(size), Tensor::zeros(size), Tensor::zeros(size), 1e-4, 0.05});
  return all;
}

void adamw(benchmark::State& state) {
  const std::vector<AdamWTensor> all = parameters();
  AdamWOptions options;
  // Reads the parameter, its gradient and both moments; writes all but the gradient.
  bench::run_memory_bound(state, 7 * 4 * kTensors * kCount, [&] {
    adamw_step(all, options);
    ++options.step;
  });
}
BENCHMARK(adamw)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void norm(benchmark::State& state) {
  std::vector<Tensor> gradients;
  for (std::int64_t i = 0; i < kTensors; ++i) gradients.push_back(Tensor::zeros({kCount}));
  bench::run_memory_bound(state, 4 * kTensors * kCount, [&] { benchmark::DoNotOptimize(global_norm(gradients)); });
}
BENCHMARK(norm)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace visage::ops
