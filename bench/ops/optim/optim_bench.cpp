#include "bench/support/bandwidth.h"
#include "bench/support/gpu.h"
#include "ops/optim/adamw.h"
#include "ops/optim/gradient_norm.h"
#include "ops/optim/moving_average.h"

#include <benchmark/benchmark.h>

// Parameters of the size of the R50 model, 45 million in 360 tensors; bound by memory.
namespace visage::ops {
namespace {

constexpr std::int64_t kTensors = 360, kCount = 126000;

enum class On { cpu, gpu };

std::vector<Tensor> tensors(On on) {
  const Device device{on == On::gpu ? DeviceType::cuda : DeviceType::cpu};
  std::vector<Tensor> all;
  for (std::int64_t i = 0; i < kTensors; ++i) all.push_back(Tensor::zeros({kCount}, DType::f32, device));
  return all;
}

/// `floats` are read or written for each of the elements.
void run(benchmark::State& state, On on, std::int64_t floats, const std::function<void()>& function) {
  const std::int64_t bytes = floats * 4 * kTensors * kCount;
  if (on == On::gpu) return bench::run_on_gpu(state, {.flops = 0, .bytes = static_cast<double>(bytes)}, function);
  bench::run_memory_bound(state, bytes, function);
}

/// Reads the parameter, its gradient and both moments; writes all but the gradient.
template <On kOn>
void adamw(benchmark::State& state) {
  const auto parameters = tensors(kOn), gradients = tensors(kOn), means = tensors(kOn), squares = tensors(kOn);
  std::vector<AdamWTensor> all;
  for (std::int64_t i = 0; i < kTensors; ++i)
    all.push_back({parameters[i], gradients[i], means[i], squares[i], 1e-4, 0.05});
  AdamWOptions options;
  run(state, kOn, 7, [&] {
    adamw_step(all, options);
    ++options.step;
  });
}
BENCHMARK(adamw<On::cpu>)->Name("adamw")->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

template <On kOn>
void norm(benchmark::State& state) {
  const auto gradients = tensors(kOn);
  run(state, kOn, 1, [&] { benchmark::DoNotOptimize(gradient_clip(gradients, 0.01)); });
}
BENCHMARK(norm<On::cpu>)->Name("norm")->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

template <On kOn>
void average(benchmark::State& state) {
  const auto averages = tensors(kOn), values = tensors(kOn);
  run(state, kOn, 3, [&] { moving_average(averages, values, 0.999); });
}
BENCHMARK(average<On::cpu>)->Name("average")->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("adamw", adamw<On::gpu>, {}) &&
                                     bench::register_on_gpu("norm", norm<On::gpu>, {}) &&
                                     bench::register_on_gpu("average", average<On::gpu>, {});

}  // namespace
}  // namespace visage::ops
