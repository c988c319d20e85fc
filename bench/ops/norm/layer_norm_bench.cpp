#include "autograd/tape.h"
#include "bench/support/bandwidth.h"
#include "ops/norm/layer_norm.h"

#include <benchmark/benchmark.h>

// Rows of 256 channels: 100 queries of the decoder, and the three encoder levels of a 480 x 864 frame (8505 tokens).
namespace visage::ops {
namespace {

constexpr std::int64_t kChannels = 256;

struct Inputs {
  Tensor x, residual, weight, bias;
};

Inputs make_inputs(std::int64_t rows, DType dtype) {
  return {Tensor::zeros({rows, kChannels}, dtype), Tensor::zeros({rows, kChannels}, dtype), Tensor::zeros({kChannels}),
          Tensor::zeros({kChannels})};
}

void forward(benchmark::State& state, DType dtype) {
  const Inputs in = make_inputs(state.range(0), dtype);
  bench::run_memory_bound(state, 2 * static_cast<std::int64_t>(in.x.nbytes()),
                          [&] { benchmark::DoNotOptimize(layer_norm(in.x, in.weight, in.bias)); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->Arg(100)->Arg(8505)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->Arg(100)->Arg(8505)->UseRealTime();

void add_forward(benchmark::State& state, DType dtype) {
  const Inputs in = make_inputs(state.range(0), dtype);
  bench::run_memory_bound(state, 3 * static_cast<std::int64_t>(in.x.nbytes()),
                          [&] { benchmark::DoNotOptimize(add_layer_norm(in.x, in.residual, in.weight, in.bias)); });
}
BENCHMARK_CAPTURE(add_forward, f32, DType::f32)->Arg(100)->Arg(8505)->UseRealTime();
BENCHMARK_CAPTURE(add_forward, bf16, DType::bf16)->Arg(100)->Arg(8505)->UseRealTime();

/// Forward and backward of x, weight and bias. Bytes: x and y; then x and gy twice (input, parameters), and gx.
void training(benchmark::State& state, DType dtype) {
  const Inputs in = make_inputs(state.range(0), dtype);
  for (const Tensor& tensor : {in.x, in.weight, in.bias}) autograd::set_requires_grad(tensor);
  bench::run_memory_bound(state, 7 * static_cast<std::int64_t>(in.x.nbytes()), [&] {
    autograd::Tape tape;
    const Tensor y = layer_norm(in.x, in.weight, in.bias);
    tape.backward(y, in.residual);
    for (const Tensor& tensor : {in.x, in.weight, in.bias}) autograd::zero_grad(tensor);
  });
}
BENCHMARK_CAPTURE(training, f32, DType::f32)->Arg(8505)->UseRealTime();
BENCHMARK_CAPTURE(training, bf16, DType::bf16)->Arg(8505)->UseRealTime();

}  // namespace
}  // namespace visage::ops
