#include "autograd/tape.h"
#include "bench/support/compute.h"
#include "bench/support/gpu.h"
#include "ops/autocast.h"
#include "ops/conv/conv2d.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cpu/onednn.h"

#include <benchmark/benchmark.h>

// The convolutions of ResNet-50 at 480 x 864 that take most of its time, and the 3x3 of the feature pyramid.
namespace visage::ops {
namespace {

struct Shape {
  std::int64_t height, width, in, out;
  int kernel, stride;
};
constexpr Shape kShapes[] = {{480, 864, 3, 64, 7, 2},   {120, 216, 64, 64, 3, 1},  {120, 216, 64, 256, 1, 1},
                             {60, 108, 128, 128, 3, 1}, {30, 54, 256, 256, 3, 1},  {30, 54, 256, 1024, 1, 1},
                             {15, 27, 512, 512, 3, 1},  {120, 216, 256, 256, 3, 1}};

void forward(benchmark::State& state, DType dtype) {
  if (dtype == DType::bf16 && !cpu::onednn::has_fast_bf16()) return state.SkipWithError("no bf16 instructions");
  const Shape& s = kShapes[state.range(0)];
  const Tensor x = cast(Tensor::zeros({1, s.height, s.width, s.in}), dtype);
  const Tensor weight = Tensor::zeros({s.out, s.kernel, s.kernel, s.in}), bias = Tensor::zeros({s.out});
  const Conv2dOptions options{
      .stride = s.stride, .padding = s.kernel / 2, .activation = Activation::relu, .dtype = dtype};
  const Tensor y = conv2d(x, weight, bias, options);
  const double flops = 2.0 * static_cast<double>(y.numel() * s.in * s.kernel * s.kernel);
  bench::run_compute_bound(state, flops, [&] { benchmark::DoNotOptimize(conv2d(x, weight, bias, options)); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->DenseRange(0, 7)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->DenseRange(0, 7)->UseRealTime();

// On a GPU: the same layers for batches of 1 and 16 frames.
struct GpuLayer {
  Tensor x, weight, bias, up;
  Conv2dOptions options;
  double flops;

  GpuLayer(const Shape& s, std::int64_t batch, DType dtype)
      : options{.stride = s.stride, .padding = s.kernel / 2, .activation = Activation::relu, .dtype = dtype} {
    const std::int64_t height = (s.height - 1) / s.stride + 1, width = (s.width - 1) / s.stride + 1;
    x = bench::random_on_gpu({batch, s.height, s.width, s.in}, dtype);
    weight = bench::random_on_gpu({s.out, s.kernel, s.kernel, s.in});
    bias = bench::random_on_gpu({s.out});
    up = bench::random_on_gpu({batch, height, width, s.out});
    flops = 2.0 * static_cast<double>(up.numel() * s.in * s.kernel * s.kernel);
  }
};

void forward_gpu(benchmark::State& state, DType dtype) {
  const GpuLayer layer(kShapes[state.range(1)], state.range(0), dtype);
  bench::run_on_gpu(state, {.flops = layer.flops},
                    [&] { (void)conv2d(layer.x, layer.weight, layer.bias, layer.options); });
}

/// With the sum of a residual, in place: the last convolution of a block.
void residual_gpu(benchmark::State& state) {
  GpuLayer layer(kShapes[state.range(1)], state.range(0), DType::bf16);
  layer.options.accumulate_into = bench::random_on_gpu(layer.up.size(), DType::bf16);
  bench::run_on_gpu(state, {.flops = layer.flops},
                    [&] { (void)conv2d(layer.x, layer.weight, layer.bias, layer.options); });
}

/// Forward, data and weight gradients of an f32 layer: three convolutions.
void training_gpu(benchmark::State& state, DType products) {
  const GpuLayer layer(kShapes[state.range(1)], state.range(0), DType::f32);
  for (const Tensor& t : {layer.x, layer.weight, layer.bias}) autograd::set_requires_grad(t);
  const Autocast scope(products);
  bench::run_on_gpu(state, {.flops = 3 * layer.flops}, [&] {
    autograd::Tape tape;
    tape.backward(conv2d(layer.x, layer.weight, layer.bias, layer.options), layer.up);
    for (const Tensor& t : {layer.x, layer.weight, layer.bias}) autograd::zero_grad(t);
  });
}

const std::vector<std::vector<std::int64_t>> kBatchAndShape = {{1, 16}, {0, 1, 2, 3, 4, 5, 6, 7}};
[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu(
        "forward_f32", [](benchmark::State& s) { forward_gpu(s, DType::f32); }, kBatchAndShape) &&
    bench::register_on_gpu(
        "forward_bf16", [](benchmark::State& s) { forward_gpu(s, DType::bf16); }, kBatchAndShape) &&
    bench::register_on_gpu("residual_bf16", residual_gpu, {{1, 16}, {2, 5}}) &&
    bench::register_on_gpu(
        "training_f32", [](benchmark::State& s) { training_gpu(s, DType::f32); }, kBatchAndShape) &&
    bench::register_on_gpu(
        "training_autocast", [](benchmark::State& s) { training_gpu(s, DType::bf16); }, kBatchAndShape);

}  // namespace
}  // namespace visage::ops
