#include "autograd/tape.h"
#include "bench/support/gpu.h"
#include "ops/resize/resize.h"

#include <benchmark/benchmark.h>

// Sizes of a 480 x 864 frame. bytes_per_second counts each tensor once.
namespace visage::ops {
namespace {

void upsample_add(benchmark::State& state, DType dtype) {
  const Tensor low = Tensor::zeros({1, 60, 108, 256}, dtype);
  const Tensor y = Tensor::zeros({1, 120, 216, 256}, dtype);
  for (auto _ : state) upsample2x_add(low, y);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(low.nbytes() + 2 * y.nbytes()));
}
BENCHMARK_CAPTURE(upsample_add, f32, DType::f32)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(upsample_add, bf16, DType::bf16)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void pool(benchmark::State& state, DType dtype) {
  const Tensor y = Tensor::zeros({1, 120, 216, 256}, dtype);
  for (auto _ : state) benchmark::DoNotOptimize(pool_center(y, {state.range(0)}));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(y.nbytes()));
}
BENCHMARK_CAPTURE(pool, f32, DType::f32)->Arg(2)->Arg(8)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(pool, bf16, DType::bf16)->Arg(2)->Arg(8)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void resize_masks(benchmark::State& state) {
  const Tensor masks = Tensor::zeros({100, 120, 216});
  for (auto _ : state) benchmark::DoNotOptimize(resize_bilinear_planes(masks, state.range(0), state.range(0) * 9 / 5));
}
BENCHMARK(resize_masks)->Arg(15)->Arg(60)->Arg(480)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// On a GPU: batch.
const std::vector<std::vector<std::int64_t>> kBatches = {{1, 16}};

template <DType kType>
void upsample_add_gpu(benchmark::State& state) {
  const Tensor low = bench::to_gpu(Tensor::zeros({state.range(0), 60, 108, 256}, kType));
  const Tensor y = bench::to_gpu(Tensor::zeros({state.range(0), 120, 216, 256}, kType));
  bench::run_on_gpu(state, {.bytes = static_cast<double>(low.nbytes() + 2 * y.nbytes())},
                    [&] { upsample2x_add(low, y); });
}

/// Doubling with its gradient. Bytes: x, y, gy and gx.
void training_gpu(benchmark::State& state) {
  const Tensor x = bench::to_gpu(Tensor::zeros({state.range(0), 60, 108, 256}));
  const Tensor up = bench::to_gpu(Tensor::zeros({state.range(0), 120, 216, 256}));
  autograd::set_requires_grad(x);
  bench::run_on_gpu(state, {.bytes = 2.0 * static_cast<double>(x.nbytes() + up.nbytes())}, [&] {
    autograd::Tape tape;
    tape.backward(resize_bilinear(x, 120, 216), up);
    autograd::zero_grad(x);
  });
}

[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu("upsample_add_f32", upsample_add_gpu<DType::f32>, kBatches) &&
    bench::register_on_gpu("upsample_add_bf16", upsample_add_gpu<DType::bf16>, kBatches) &&
    bench::register_on_gpu("training_f32", training_gpu, kBatches);

}  // namespace
}  // namespace visage::ops
