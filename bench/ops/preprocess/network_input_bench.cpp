#include "bench/support/gpu.h"
#include "ops/preprocess/network_input.h"

#include <benchmark/benchmark.h>

// A frame of 720 x 1280 or 1080 x 1920 to the network input of shortest edge 480: 480 x 853, padded to 480 x 864.
namespace visage::ops {
namespace {

constexpr ImageSize kImage{480, 853}, kPadded{480, 864};

Tensor noise(const ImageSize& size) {
  Tensor frame = Tensor::empty({size.height, size.width, 3}, DType::u8);
  for (std::int64_t i = 0; i < frame.numel(); ++i)
    frame.data<std::uint8_t>()[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
  return frame;
}

ImageSize frame_of(const benchmark::State& state) { return {state.range(0), state.range(0) * 16 / 9}; }

void on_cpu(benchmark::State& state) {
  const Tensor frame = noise(frame_of(state)), out = Tensor::empty({kPadded.height, kPadded.width, 3});
  const InputPlan plan = plan_input(frame_of(state), kImage, kPadded);
  for (auto _ : state) network_input(frame, plan, out);
}
BENCHMARK(on_cpu)->Arg(720)->Arg(1080)->UseRealTime()->Unit(benchmark::kMillisecond);

/// Bytes: the frame and the input in bf16.
void on_gpu(benchmark::State& state) {
  const Tensor frame = bench::to_gpu(noise(frame_of(state)));
  const Tensor out = bench::to_gpu(Tensor::empty({kPadded.height, kPadded.width, 3}, DType::bf16));
  const InputPlan plan = plan_input(frame_of(state), kImage, kPadded, frame.device());
  bench::run_on_gpu(state, {.bytes = static_cast<double>(frame.nbytes() + out.nbytes())},
                    [&] { network_input(frame, plan, out); });
}
[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("network_input", on_gpu, {{720, 1080}});

}  // namespace
}  // namespace visage::ops
