#include "autograd/tape.h"
#include "bench/support/compute.h"
#include "bench/support/gpu.h"
#include "ops/autocast.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "tensor/cpu/onednn.h"

#include <benchmark/benchmark.h>

// Products of a 480 x 864 frame: the encoder's projection and FFN (8505 tokens), keys and values of a decoder level,
// the decoder's FFN (100 queries).
namespace visage::ops {
namespace {

struct Shape {
  std::int64_t rows, in, out;
};
constexpr Shape kShapes[] = {{8505, 256, 544},  {8505, 256, 1024}, {8505, 1024, 256},
                             {6480, 256, 1536}, {100, 256, 2048},  {100, 2048, 256}};

void forward(benchmark::State& state, DType dtype) {
  if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) return state.SkipWithError("no bf16 instructions");
  const Shape& s = kShapes[state.range(0)];
  const Tensor x = cast(Tensor::zeros({s.rows, s.in}), dtype);
  const Tensor weight = Tensor::zeros({s.out, s.in}), bias = Tensor::zeros({s.out});
  const double flops = 2.0 * static_cast<double>(s.rows * s.in * s.out);
  bench::run_compute_bound(state, flops, [&] { benchmark::DoNotOptimize(linear(x, weight, bias, {.dtype = dtype})); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->DenseRange(0, 5)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->DenseRange(0, 5)->UseRealTime();

// On a GPU: the same products for batches of 1 and 16 frames.
struct GpuProduct {
  Tensor x, weight, bias;
  bench::Work work;

  GpuProduct(const Shape& s, std::int64_t batch, DType dtype) {
    x = bench::random_on_gpu({batch * s.rows, s.in}, dtype);
    weight = bench::random_on_gpu({s.out, s.in});
    bias = bench::random_on_gpu({s.out});
    work.flops = 2.0 * static_cast<double>(batch * s.rows * s.in * s.out);
    work.bytes = static_cast<double>((x.numel() + batch * s.rows * s.out) * static_cast<std::int64_t>(size_of(dtype)));
  }
};

void forward_gpu(benchmark::State& state, DType dtype) {
  const GpuProduct p(kShapes[state.range(1)], state.range(0), dtype);
  bench::run_on_gpu(state, p.work,
                    [&] { (void)linear(p.x, p.weight, p.bias, {.activation = Activation::relu, .dtype = dtype}); });
}

/// Forward and backward of an f32 layer: three products.
void training_gpu(benchmark::State& state, DType products) {
  const GpuProduct p(kShapes[state.range(1)], state.range(0), DType::f32);
  for (const Tensor& t : {p.x, p.weight, p.bias}) autograd::set_requires_grad(t);
  const Tensor up = bench::random_on_gpu({p.x.size(0), p.weight.size(0)});
  const Autocast scope(products);
  bench::run_on_gpu(state, {.flops = 3 * p.work.flops}, [&] {
    autograd::Tape tape;
    tape.backward(linear(p.x, p.weight, p.bias), up);
    for (const Tensor& t : {p.x, p.weight, p.bias}) autograd::zero_grad(t);
  });
}

const std::vector<std::vector<std::int64_t>> kBatchAndShape = {{1, 16}, {0, 1, 2, 3, 4, 5}};
[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu(
        "forward_f32", [](benchmark::State& s) { forward_gpu(s, DType::f32); }, kBatchAndShape) &&
    bench::register_on_gpu(
        "forward_bf16", [](benchmark::State& s) { forward_gpu(s, DType::bf16); }, kBatchAndShape) &&
    bench::register_on_gpu(
        "training_f32", [](benchmark::State& s) { training_gpu(s, DType::f32); }, kBatchAndShape) &&
    bench::register_on_gpu(
        "training_autocast", [](benchmark::State& s) { training_gpu(s, DType::bf16); }, kBatchAndShape);

}  // namespace
}  // namespace visage::ops
