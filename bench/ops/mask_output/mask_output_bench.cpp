#include "ops/mask_output/mask_output.h"

#include <benchmark/benchmark.h>

#include <cmath>

// 100 masks of a 480 x 864 frame, half of all pixels positive (stripes of 20 low-resolution pixels).
namespace visage::ops {
namespace {

void masks(benchmark::State& state, ImageSize output) {
  Tensor logits = Tensor::empty({100, 120, 216});
  for (std::int64_t i = 0; i < logits.numel(); ++i)
    logits.data<float>()[i] =
        4 * std::sin(static_cast<float>(i % 216 + i / 216 % 120) * 0.157f + static_cast<float>(i / 25920));
  const MaskSizes sizes{{480, 864}, {480, 864}, output};
  for (auto _ : state) benchmark::DoNotOptimize(mask_output(logits, sizes));
}
BENCHMARK_CAPTURE(masks, as_large_as_the_image, ImageSize{480, 864})
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(masks, resized_to_720, ImageSize{720, 1280})->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace visage::ops
