#include "ops/deform_attention/deform_attention.h"
#include "ops/deform_attention/deform_attention_kernels.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

// One encoder layer of a 480 x 864 frame: 8505 tokens, 8 heads of 32, 3 levels of 4 points.
namespace visage::ops {
namespace {

const std::vector<LevelShape> kShapes = {{15, 27}, {30, 54}, {60, 108}};
constexpr std::int64_t kTokens = 15 * 27 * 21, kHeads = 8, kPoints = 4, kDim = 32, kColumns = 288;

Tensor uniform(const Dims& size, float range) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> draw(-range, range);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

DeformSampling input(DType value) {
  DeformSampling result;
  result.value = Tensor::zeros({1, kTokens, kHeads * kDim}, value);
  result.sampling = uniform({1, kTokens, kColumns}, 4);
  for (const LevelShape& shape : kShapes) {
    result.table_y.push_back(uniform({shape.height, kColumns}, 1));
    result.table_x.push_back(uniform({shape.width, kColumns}, 1));
  }
  return result;
}

void fused(benchmark::State& state, DType value) {
  const DeformSampling sampling = input(value);
  for (auto _ : state) benchmark::DoNotOptimize(deform_attention_fused(sampling, kShapes));
}
BENCHMARK_CAPTURE(fused, f32, DType::f32)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(fused, bf16, DType::bf16)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void fused_portable(benchmark::State& state) {
  const DeformSampling sampling = input(DType::f32);
  const Tensor out = Tensor::empty(sampling.value.size());
  DeformFusedArgs args{sampling.value.view(), sampling.sampling.view(), {}, {}, out.view(), {}, 3, kHeads, kPoints};
  std::int64_t start = 0;
  for (int l = 0; l < 3; ++l) {
    args.level[l] = {kShapes[l].height, kShapes[l].width, start};
    start += kShapes[l].height * kShapes[l].width;
    args.table_y[l] = sampling.table_y[l].view();
    args.table_x[l] = sampling.table_x[l].view();
  }
  for (auto _ : state) deform_attention_fused_cpu(args);
}
BENCHMARK(fused_portable)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// grid_sample of one level, planes [heads*dim, H, W] at points [heads, Lq*points] -> [heads*dim, Lq*points].
void grid_sample(const float* planes, const LevelShape& level, const float* places, std::int64_t count, float* out) {
  for (std::int64_t c = 0; c < kHeads * kDim; ++c) {
    const float* plane = planes + c * level.height * level.width;
    const float* at = places + c / kDim * count * 2;
    const auto read = [&](std::int64_t y, std::int64_t x) {
      return x < 0 || y < 0 || x >= level.width || y >= level.height ? 0.f : plane[y * level.width + x];
    };
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = at[2 * i] * static_cast<float>(level.width) - 0.5f;
      const float y = at[2 * i + 1] * static_cast<float>(level.height) - 0.5f;
      const float left = std::floor(x), top = std::floor(y), fx = x - left, fy = y - top;
      const auto x0 = static_cast<std::int64_t>(left), y0 = static_cast<std::int64_t>(top);
      out[c * count + i] = (1 - fy) * ((1 - fx) * read(y0, x0) + fx * read(y0, x0 + 1)) +
                           fy * ((1 - fx) * read(y0 + 1, x0) + fx * read(y0 + 1, x0 + 1));
    }
  }
}

// The formulation by library calls: transposed values, one grid_sample a level, weighted sum, transposed result.
void by_grid_sample(benchmark::State& state) {
  const Tensor value = Tensor::zeros({kTokens, kHeads * kDim});
  std::vector<Tensor> places;
  for (int l = 0; l < 3; ++l) places.push_back(uniform({kHeads, kTokens * kPoints, 2}, 1));
  const Tensor weights = uniform({kHeads, 3, kTokens * kPoints}, 1);
  for (auto _ : state) {
    const Tensor sum = Tensor::zeros({kHeads * kDim, kTokens}), out = Tensor::empty({kTokens, kHeads * kDim});
    const Tensor sampled = Tensor::empty({kHeads * kDim, kTokens * kPoints});
    std::int64_t start = 0;
    for (int l = 0; l < 3; ++l) {
      const std::int64_t area = kShapes[l].height * kShapes[l].width;
      const Tensor planes = Tensor::empty({kHeads * kDim, area});
      for (std::int64_t p = 0; p < area; ++p)
        for (std::int64_t c = 0; c < kHeads * kDim; ++c)
          planes.data<float>()[c * area + p] = value.data<float>()[(start + p) * kHeads * kDim + c];
      grid_sample(planes.data<float>(), kShapes[l], places[l].data<float>(), kTokens * kPoints, sampled.data<float>());
      for (std::int64_t c = 0; c < kHeads * kDim; ++c)
        for (std::int64_t i = 0; i < kTokens * kPoints; ++i)
          sum.data<float>()[c * kTokens + i / kPoints] +=
              sampled.data<float>()[c * kTokens * kPoints + i] *
              weights.data<float>()[(c / kDim * 3 + l) * kTokens * kPoints + i];
      start += area;
    }
    for (std::int64_t c = 0; c < kHeads * kDim; ++c)
      for (std::int64_t q = 0; q < kTokens; ++q)
        out.data<float>()[q * kHeads * kDim + c] = sum.data<float>()[c * kTokens + q];
    benchmark::DoNotOptimize(out.data<float>());
  }
}
BENCHMARK(by_grid_sample)->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->Iterations(2);

}  // namespace
}  // namespace visage::ops
