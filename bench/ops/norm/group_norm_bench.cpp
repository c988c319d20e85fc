#include "autograd/tape.h"
#include "bench/support/bandwidth.h"
#include "bench/support/gpu.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/group_norm.h"

#include <benchmark/benchmark.h>

// 256 channels at stride 8 and at stride 4 of a 480 x 864 frame.
namespace visage::ops {
namespace {

// Bytes: x for the statistics, x again and y.
void forward(benchmark::State& state, DType dtype) {
  const Tensor x = cast(Tensor::zeros({1, state.range(0), 256}), dtype);
  const Tensor weight = Tensor::zeros({256}), bias = Tensor::zeros({256});
  bench::run_memory_bound(state, 3 * static_cast<std::int64_t>(x.nbytes()), [&] {
    benchmark::DoNotOptimize(group_norm(x, weight, bias, {.activation = Activation::relu}));
  });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->Arg(6480)->Arg(25920)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->Arg(6480)->Arg(25920)->UseRealTime();

// On a GPU: batch, pixels.
const std::vector<std::vector<std::int64_t>> kBatches = {{1, 16}, {6480, 25920}};

// Bytes: x and y; x is read again for y, from the cache where it fits.
template <DType kType>
void forward_gpu(benchmark::State& state) {
  const Tensor x = bench::to_gpu(Tensor::zeros({state.range(0), state.range(1), 256}, kType));
  const Tensor weight = bench::to_gpu(Tensor::zeros({256})), bias = bench::to_gpu(Tensor::zeros({256}));
  bench::run_on_gpu(state, {.bytes = 2.0 * static_cast<double>(x.nbytes())},
                    [&] { (void)group_norm(x, weight, bias, {.activation = Activation::relu, .out = {}}); });
}

/// Forward and backward of x, weight and bias. Bytes: x and y; then x, y, gy and gx.
template <DType kType>
void training_gpu(benchmark::State& state) {
  const Tensor x = bench::to_gpu(Tensor::zeros({state.range(0), state.range(1), 256}, kType)), up = bench::to_gpu(x);
  const Tensor weight = bench::to_gpu(Tensor::zeros({256})), bias = bench::to_gpu(Tensor::zeros({256}));
  for (const Tensor& tensor : {x, weight, bias}) autograd::set_requires_grad(tensor);
  bench::run_on_gpu(state, {.bytes = 6.0 * static_cast<double>(x.nbytes())}, [&] {
    autograd::Tape tape;
    tape.backward(group_norm(x, weight, bias, {.activation = Activation::relu, .out = {}}), up);
    for (const Tensor& tensor : {x, weight, bias}) autograd::zero_grad(tensor);
  });
}

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("forward_f32", forward_gpu<DType::f32>, kBatches) &&
                                     bench::register_on_gpu("forward_bf16", forward_gpu<DType::bf16>, kBatches) &&
                                     bench::register_on_gpu("training_f32", training_gpu<DType::f32>, kBatches) &&
                                     bench::register_on_gpu("training_bf16", training_gpu<DType::bf16>, kBatches);

}  // namespace
}  // namespace visage::ops
