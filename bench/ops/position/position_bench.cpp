#include "ops/position/position.h"

#include <benchmark/benchmark.h>

#include <cmath>

// The sine code of the stride-8 level of a 480 x 864 frame, 256 channels.
namespace visage::ops {
namespace {

constexpr std::int64_t kHeight = 60, kWidth = 108, kFeatures = 128;

void tables(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sine_position_tables(kHeight, kWidth, kFeatures));
}
BENCHMARK(tables)->Unit(benchmark::kMicrosecond);

void code(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sine_position(kHeight, kWidth, kFeatures));
}
BENCHMARK(code)->Unit(benchmark::kMicrosecond);

// The definition for every pixel and channel: what the tables save.
void code_by_definition(benchmark::State& state) {
  Tensor out = Tensor::empty({kHeight * kWidth, 2 * kFeatures});
  const auto angle = [](std::int64_t at, std::int64_t length, std::int64_t channel) {
    const float place = 6.2831853f * static_cast<float>(at + 1) / (static_cast<float>(length) + 1e-6f);
    return place / std::pow(10000.f, static_cast<float>(channel / 2 * 2) / static_cast<float>(kFeatures));
  };
  for (auto _ : state) {
    float* to = out.data<float>();
    for (std::int64_t y = 0; y < kHeight; ++y)
      for (std::int64_t x = 0; x < kWidth; ++x)
        for (std::int64_t c = 0; c < 2 * kFeatures; ++c) {
          const float a = c < kFeatures ? angle(y, kHeight, c) : angle(x, kWidth, c - kFeatures);
          *to++ = c % 2 ? std::cos(a) : std::sin(a);
        }
    benchmark::DoNotOptimize(out.data<float>());
  }
}
BENCHMARK(code_by_definition)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace visage::ops
