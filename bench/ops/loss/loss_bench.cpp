#include "autograd/tape.h"
#include "bench/support/gpu.h"
#include "ops/loss/contrastive_loss.h"
#include "ops/loss/cross_entropy.h"
#include "ops/loss/mask_loss.h"
#include "ops/loss/matching_cost.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <functional>
#include <random>

// One prediction head of a training step of the official model: 2 frames, 100 queries, 41 classes, 4 instances, 12544
// points a mask; embeddings of 256 channels. Losses run forward and backward. On a GPU all but the masks are bound by
// launches.
namespace visage::ops {
namespace {

constexpr std::int64_t kFrames = 2, kQueries = 100, kClasses = 41, kInstances = 4, kPoints = 12544, kChannels = 256;

Tensor normal(const Dims& size) {
  std::mt19937 random(1);
  std::normal_distribution<float> draw(0, 3);
  Tensor x = Tensor::empty(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = draw(random);
  return x;
}

Tensor bits(const Dims& size) {
  Tensor x = normal(size);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = x.data<float>()[i] > 0 ? 1.f : 0.f;
  return x;
}

enum class On { cpu, gpu };

Tensor moved(const Tensor& x, On on) { return on == On::gpu ? bench::to_gpu(x) : x; }

/// `bytes` of device memory that one call reads and writes at least.
void run(benchmark::State& state, On on, double bytes, const std::function<void()>& function) {
  if (on == On::gpu) return bench::run_on_gpu(state, {.flops = 0, .bytes = bytes}, function);
  for (auto _ : state) function();
}

void train(benchmark::State& state, On on, const Tensor& x, double bytes, const std::function<Tensor()>& loss) {
  autograd::set_requires_grad(x);
  run(state, on, bytes, [&] {
    autograd::Tape tape;
    tape.backward(loss());
    autograd::zero_grad(x);
  });
}

/// Forward reads logits and targets, backward too, and writes the gradient.
template <On kOn>
void sigmoid_ce(benchmark::State& state) {
  const Tensor x = moved(normal({kFrames * kInstances, kPoints}), kOn), t = moved(bits(x.size()), kOn);
  train(state, kOn, x, 5 * static_cast<double>(x.nbytes()),
        [&] { return sigmoid_ce_loss(x, t, kFrames * kInstances); });
}
BENCHMARK(sigmoid_ce<On::cpu>)->Name("sigmoid_ce")->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

template <On kOn>
void dice(benchmark::State& state) {
  const Tensor x = moved(normal({kFrames * kInstances, kPoints}), kOn), t = moved(bits(x.size()), kOn);
  train(state, kOn, x, 5 * static_cast<double>(x.nbytes()), [&] { return dice_loss(x, t, kFrames * kInstances); });
}
BENCHMARK(dice<On::cpu>)->Name("dice")->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

template <On kOn>
void class_ce(benchmark::State& state) {
  const Tensor x = moved(normal({kFrames * kQueries, kClasses}), kOn), weights = moved(bits({kClasses}), kOn);
  const Tensor labels = moved(Tensor::zeros({kFrames * kQueries}, DType::i64), kOn);
  train(state, kOn, x, 3 * static_cast<double>(x.nbytes()), [&] { return weighted_cross_entropy(x, labels, weights); });
}
BENCHMARK(class_ce<On::cpu>)->Name("class_ce")->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

std::vector<AnchorPair> adjacent_frames(std::int64_t frames, std::int64_t instances) {
  std::vector<AnchorPair> pairs;
  for (std::int64_t t = 1; t < frames; ++t) {
    pairs.push_back({.key_frame = t - 1, .reference_frame = t, .key_index = {}, .reference_index = {}});
    for (std::int64_t i = 0; i < instances; ++i) {
      pairs.back().key_index.push_back(i);
      pairs.back().reference_index.push_back(instances - 1 - i);
    }
  }
  return pairs;
}

/// The argument is the number of instances that all of 4 frames share.
template <On kOn>
void contrastive(benchmark::State& state) {
  const Tensor x = moved(normal({4, kQueries, kChannels}), kOn);
  const auto pairs = adjacent_frames(4, state.range(0));
  train(state, kOn, x, 3 * static_cast<double>(x.nbytes()), [&] { return contrastive_loss(x, x, pairs, 1); });
}
BENCHMARK(contrastive<On::cpu>)
    ->Name("contrastive")
    ->Arg(4)
    ->Arg(40)
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMicrosecond);

template <On kOn>
void cosine(benchmark::State& state) {
  const Tensor x = moved(normal({4, kQueries, kChannels}), kOn);
  const auto pairs = adjacent_frames(4, state.range(0));
  train(state, kOn, x, 3 * static_cast<double>(x.nbytes()), [&] { return cosine_loss(x, x, pairs, 1); });
}
BENCHMARK(cosine<On::cpu>)->Name("cosine")->Arg(4)->Arg(40)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

template <On kOn>
void matching(benchmark::State& state) {
  const Tensor x = moved(normal({1, kQueries, kPoints}), kOn), t = moved(bits({kInstances, kPoints}), kOn);
  const Tensor classes = moved(normal({1, kQueries, kClasses}), kOn);
  const Tensor labels = moved(Tensor::zeros({kInstances}, DType::i64), kOn);
  const RowRanges instances({&kInstances, 1}, x.device());
  run(state, kOn, static_cast<double>(x.nbytes() + t.nbytes()),
      [&] { benchmark::DoNotOptimize(matching_cost(classes, x, instances, labels, t)); });
}
BENCHMARK(matching<On::cpu>)->Name("matching")->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

[[maybe_unused]] const bool kOnGpu = bench::register_on_gpu("sigmoid_ce", sigmoid_ce<On::gpu>, {}) &&
                                     bench::register_on_gpu("dice", dice<On::gpu>, {}) &&
                                     bench::register_on_gpu("class_ce", class_ce<On::gpu>, {}) &&
                                     bench::register_on_gpu("contrastive", contrastive<On::gpu>, {{4, 40}}) &&
                                     bench::register_on_gpu("cosine", cosine<On::gpu>, {{4, 40}}) &&
                                     bench::register_on_gpu("matching", matching<On::gpu>, {});

// The same costs by their definition: two softplus terms and a sigmoid for every query, instance and point.
void matching_by_definition(benchmark::State& state) {
  const Tensor x = normal({kQueries, kPoints}), t = bits({kInstances, kPoints});
  const auto softplus = [](float v) { return std::max(v, 0.f) + std::log1p(std::exp(-std::abs(v))); };
  for (auto _ : state) {
    for (std::int64_t q = 0; q < kQueries; ++q) {
      for (std::int64_t g = 0; g < kInstances; ++g) {
        float ce = 0, both = 0, either = 0;
        for (std::int64_t p = 0; p < kPoints; ++p) {
          const float at = x.data<float>()[q * kPoints + p], target = t.data<float>()[g * kPoints + p];
          const float probability = 1 / (1 + std::exp(-at));
          ce += target * softplus(-at) + (1 - target) * softplus(at);
          both += probability * target;
          either += probability + target;
        }
        benchmark::DoNotOptimize(ce / kPoints + 1 - (2 * both + 1) / (either + 1));
      }
    }
  }
}
BENCHMARK(matching_by_definition)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace visage::ops
