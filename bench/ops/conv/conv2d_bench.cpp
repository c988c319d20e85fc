#include "bench/support/compute.h"
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

}  // namespace
}  // namespace visage::ops
