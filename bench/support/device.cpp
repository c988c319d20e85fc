#include "bench/support/device.h"

#include "bench/support/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <random>

#ifdef VISAGE_CUDA
#include "tensor/cuda/copy.h"
#include "tensor/cuda/graph.h"
#endif

namespace visage::bench {
namespace {

double run_on_cpu(benchmark::State& state, const std::function<void()>& function) {
  double total = 0;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    function();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    state.SetIterationTime(seconds);
    total += seconds;
  }
  return total / static_cast<double>(state.iterations());
}

#ifdef VISAGE_CUDA
/// Seconds between two marks around `work` on the current stream.
double seconds_of(const std::function<void()>& work) {
  cuda::Event start(cuda::Event::Timing::on), stop(cuda::Event::Timing::on);
  const StreamHandle stream = cuda::current_stream();
  start.record(stream);
  work();
  stop.record(stream);
  stop.synchronize();
  return 1e-3 * static_cast<double>(stop.milliseconds_since(start));
}

double run_on_gpu(benchmark::State& state, const std::function<void()>& function) {
  constexpr int kCalls = 8;
  function();
  const cuda::Graph graph([&] {
    for (int i = 0; i < kCalls; ++i) function();
  });
  double total = 0;
  for (auto _ : state) {
    const double seconds = seconds_of([&] { graph.launch(); }) / kCalls;
    state.SetIterationTime(seconds);
    total += seconds;
  }
  return total / static_cast<double>(state.iterations());
}

double gpu_copy_bandwidth(Device device) {
  constexpr std::int64_t kBytes = std::int64_t{1} << 30;
  const Tensor from = Tensor::zeros({kBytes}, DType::u8, device);
  double best = 0;
  for (int i = 0; i < 6; ++i) {  // the first one allocates
    const double seconds = seconds_of([&] { benchmark::DoNotOptimize(cuda::copy_to(from, device)); });
    if (i > 0) best = std::max(best, 2 * static_cast<double>(kBytes) / seconds);
  }
  return best;
}
#endif

}  // namespace

bool available(benchmark::State& state, Device device) {
  if (device.type == DeviceType::cpu || device.index < cuda_device_count()) return true;
  state.SkipWithError("no GPU");
  return false;
}

Tensor uniform(const Dims& size, float range, Device device, std::uint32_t seed) {
  std::minstd_rand random(seed);
  Tensor x = Tensor::empty(size);
  const float step = 2 * range / static_cast<float>(std::minstd_rand::max());
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(random()) * step - range;
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) return cuda::copy_to(x, device);
#endif
  static_cast<void>(device);
  return x;
}

double run_on(benchmark::State& state, Device device, const std::function<void()>& function) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) return run_on_gpu(state, function);
#endif
  static_cast<void>(device);
  return run_on_cpu(state, function);
}

double copy_bandwidth(Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) {
    static const double bandwidth = gpu_copy_bandwidth(device);
    return bandwidth;
  }
#endif
  static_cast<void>(device);
  return copy_bandwidth();
}

void report_bandwidth(benchmark::State& state, Device device, std::int64_t bytes, double seconds) {
  const double rate = static_cast<double>(bytes) / seconds;
  state.counters["GB/s"] = rate / 1e9;
  state.counters["of_copy"] = rate / copy_bandwidth(device);
}

}  // namespace visage::bench
