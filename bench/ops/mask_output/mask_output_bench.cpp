#include "bench/support/gpu.h"
#include "ops/mask_output/mask_output.h"

#include <benchmark/benchmark.h>

#include <cmath>

// 100 masks of a 480 x 864 frame, half of all pixels positive (stripes of 20 low-resolution pixels).
namespace visage::ops {
namespace {

Tensor stripes(std::int64_t masks) {
  Tensor logits = Tensor::empty({masks, 120, 216});
  for (std::int64_t i = 0; i < logits.numel(); ++i)
    logits.data<float>()[i] =
        4 * std::sin(static_cast<float>(i % 216 + i / 216 % 120) * 0.157f + static_cast<float>(i / 25920));
  return logits;
}

void masks(benchmark::State& state, ImageSize output) {
  const Tensor logits = stripes(100);
  const MaskSizes sizes{{480, 864}, {480, 864}, output};
  for (auto _ : state) benchmark::DoNotOptimize(mask_batch(logits, sizes));
}
BENCHMARK_CAPTURE(masks, as_large_as_the_image, ImageSize{480, 864})
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(masks, resized_to_720, ImageSize{720, 1280})->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// On a GPU, to 720 x 1280: as many masks as a frame shows, and all queries. Bytes: logits and bits.
void masks_gpu(benchmark::State& state) {
  const Tensor logits = bench::to_gpu(stripes(state.range(0)));
  const MaskSizes sizes{{480, 864}, {480, 864}, {720, 1280}};
  const double bits = static_cast<double>(state.range(0)) * 720 * 1280 / 8;
  bench::run_on_gpu(state, {.bytes = static_cast<double>(logits.nbytes()) + bits},
                    [&] { (void)mask_batch(logits, sizes); });
}
[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("masks", masks_gpu, {{15, 100}});

}  // namespace
}  // namespace visage::ops
