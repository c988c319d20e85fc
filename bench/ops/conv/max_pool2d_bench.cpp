#include "autograd/tape.h"
#include "bench/support/bandwidth.h"
#include "bench/support/gpu.h"
#include "ops/conv/max_pool2d.h"

#include <benchmark/benchmark.h>

// After the stem of a 480 x 864 frame. Bytes: the input and a quarter of it as output.
namespace visage::ops {
namespace {

void forward(benchmark::State& state, DType dtype) {
  const Tensor x = Tensor::zeros({1, 240, 432, 64}, dtype);
  bench::run_memory_bound(state, static_cast<std::int64_t>(x.nbytes()) * 5 / 4,
                          [&] { benchmark::DoNotOptimize(max_pool2d(x, {})); });
}
BENCHMARK_CAPTURE(forward, f32, DType::f32)->UseRealTime();
BENCHMARK_CAPTURE(forward, bf16, DType::bf16)->UseRealTime();

// On a GPU: batches of 1 and 16 frames.
Tensor stem_on_gpu(std::int64_t batch, DType dtype) { return bench::random_on_gpu({batch, 240, 432, 64}, dtype); }

void forward_gpu(benchmark::State& state, DType dtype) {
  const Tensor x = stem_on_gpu(state.range(0), dtype);
  bench::run_on_gpu(state, {.bytes = static_cast<double>(x.nbytes()) * 5 / 4}, [&] { (void)max_pool2d(x, {}); });
}

/// Forward and backward. Bytes: x three times, the last as its gradient, and a quarter of it as y and as gy; the places
/// of the maxima are a byte each.
void training_gpu(benchmark::State& state) {
  const Tensor x = stem_on_gpu(state.range(0), DType::f32);
  autograd::set_requires_grad(x);
  const Tensor up = bench::random_on_gpu({x.size(0), 120, 216, 64});
  const double bytes = 3.5 * static_cast<double>(x.nbytes()) + 2 * static_cast<double>(up.numel());
  bench::run_on_gpu(state, {.bytes = bytes}, [&] {
    autograd::Tape tape;
    tape.backward(max_pool2d(x, {}), up);
    autograd::zero_grad(x);
  });
}

[[maybe_unused]] const bool kOnGpu =
    bench::register_on_gpu("forward_f32", [](benchmark::State& s) { forward_gpu(s, DType::f32); }, {{1, 16}}) &&
    bench::register_on_gpu("forward_bf16", [](benchmark::State& s) { forward_gpu(s, DType::bf16); }, {{1, 16}}) &&
    bench::register_on_gpu("training_f32", training_gpu, {{1, 16}});

}  // namespace
}  // namespace visage::ops
