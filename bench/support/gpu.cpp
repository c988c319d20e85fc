#include "bench/support/gpu.h"

#include "tensor/float16.h"

#include <algorithm>
#include <array>
#include <random>

#ifdef VISAGE_CUDA
#include "tensor/cuda/stream.h"
#include "tensor/transfer.h"
#include "visage/profile/ceilings.h"
#endif

namespace visage::bench {

bool register_on_gpu(const std::string& name, const std::function<void(benchmark::State&)>& function,
                     const std::vector<std::vector<std::int64_t>>& arguments) {
  if (cuda_device_count() == 0) return false;
  benchmark::RegisterBenchmark((name + "/cuda").c_str(), function)->ArgsProduct(arguments)->UseManualTime();
  return true;
}

Tensor random_on_gpu(const Dims& size, DType dtype) {
  std::array<float, 65521> numbers;  // repeated: drawing hundreds of millions would take longer than the bench
  std::mt19937 random(1);
  std::uniform_real_distribution<float> draw(-0.1f, 0.1f);
  for (float& number : numbers) number = draw(random);
  const Tensor x = Tensor::empty(size, dtype);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    const float number = numbers[static_cast<std::size_t>(i) % numbers.size()];
    dtype == DType::bf16 ? store(x.data<BFloat16>()[i], number) : store(x.data<float>()[i], number);
  }
  return to_gpu(x);
}

#ifdef VISAGE_CUDA

Tensor to_gpu(const Tensor& x) { return to_device(x, {DeviceType::cuda, 0}); }

double gpu_copy_bandwidth() {
  static const double bandwidth = profile::copy_bandwidth({DeviceType::cuda, 0});
  return bandwidth;
}

void run_on_gpu(benchmark::State& state, const Work& work, const std::function<void()>& function) {
  constexpr int kCalls = 10;
  const StreamHandle stream = cuda::current_stream();
  cuda::Event start(cuda::Event::Timing::on), stop(cuda::Event::Timing::on);
  function();  // fills the allocator's cache
  double seconds = 0;
  for (auto _ : state) {
    start.record(stream);
    for (int i = 0; i < kCalls; ++i) function();
    stop.record(stream);
    stop.synchronize();
    const double call = 1e-3 * static_cast<double>(stop.milliseconds_since(start)) / kCalls;
    state.SetIterationTime(call);
    seconds += call;
  }
  const double calls = static_cast<double>(state.iterations());
  if (work.flops > 0) state.counters["TFLOP/s"] = 1e-12 * work.flops * calls / seconds;
  if (work.bytes > 0) {
    state.counters["GB/s"] = 1e-9 * work.bytes * calls / seconds;
    state.counters["of_copy"] = work.bytes * calls / seconds / gpu_copy_bandwidth();
  }
}

#else

double gpu_copy_bandwidth() { fail<DeviceError>("bench: this build has no CUDA backend"); }
Tensor to_gpu(const Tensor&) { fail<DeviceError>("bench: this build has no CUDA backend"); }
void run_on_gpu(benchmark::State&, const Work&, const std::function<void()>&) {
  fail<DeviceError>("bench: this build has no CUDA backend");
}

#endif

}  // namespace visage::bench
