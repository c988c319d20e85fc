#include "bench/ops/deform_attention/deform_attention_peer.h"
#include "bench/support/device.h"
#include "ops/deform_attention/levels.h"
#include "ops/deform_attention/sampling_locations.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cuda/copy.h"
#include "tensor/cuda/stream.h"

#include <benchmark/benchmark.h>

#include <map>

// One encoder layer of a frame on the GPU: 8 heads of 32 channels, 3 levels of 4 points. Arguments: the height of the
// frame, whose data at batch 1 stay in the L2 cache, and the batch. GB/s counts what has to cross the memory: inputs
// and output once; gathered_GB/s the corners that are read, from L1 mostly.
namespace visage::ops {
namespace {

constexpr Device kGpu{DeviceType::cuda, 0};
constexpr std::int64_t kHeads = 8, kPoints = 4, kLevels = 3, kDim = 32, kColumns = kHeads * kLevels * kPoints * 3;

std::vector<LevelShape> shapes_of(std::int64_t height) {
  static const std::map<std::int64_t, LevelShape> coarsest = {{360, {12, 20}}, {480, {15, 27}}, {720, {23, 40}}};
  const LevelShape& s = coarsest.at(height);  // of the padded frame, at stride 32
  return {s, {2 * s.height, 2 * s.width}, {4 * s.height, 4 * s.width}};
}

struct Problem {
  std::vector<LevelShape> shapes;
  std::int64_t batch;
  DeformLevel level[kMaxLevels] = {};
  std::int64_t tokens;

  explicit Problem(const benchmark::State& state)
      : shapes(shapes_of(state.range(0))), batch(state.range(1)), tokens(set_levels("bench", shapes, level)) {}

  std::int64_t rows() const { return batch * tokens; }

  void report(benchmark::State& state, std::int64_t bytes, std::int64_t bytes_a_value, double seconds) const {
    bench::report_bandwidth(state, kGpu, bytes, seconds);
    const std::int64_t corners = rows() * kHeads * kLevels * kPoints * 4;
    state.counters["gathered_GB/s"] = 1e-9 * static_cast<double>(corners * kDim * bytes_a_value) / seconds;
  }
};

// Locations around the tokens' own places, a few pixels away, and weights.
struct Given : Problem {
  Tensor value, locations, weights, gout;

  explicit Given(const benchmark::State& state) : Problem(state) {
    value = bench::uniform({batch, tokens, kHeads, kDim}, 1, kGpu, 1);
    const Tensor offsets = bench::uniform({batch, tokens, kColumns / 3 * 2}, 4, kGpu, 2);
    locations = sampling_locations(offsets, shapes, kHeads, kPoints);
    weights = bench::uniform({batch, tokens, kHeads, kLevels, kPoints}, 1, kGpu, 3);
    gout = bench::uniform({batch, tokens, kHeads * kDim}, 1, kGpu, 4);
  }
  DeformAttentionArgs forward(const Tensor& out) const {
    DeformAttentionArgs args{value.view(), locations.view(), weights.view(), out.view(), {}};
    std::copy_n(level, kMaxLevels, args.level);
    return args;
  }
  std::int64_t bytes() const {
    return static_cast<std::int64_t>(2 * value.nbytes() + locations.nbytes() + weights.nbytes());
  }
};

template <auto Attend>
void attend(benchmark::State& state) {
  if (!bench::available(state, kGpu)) return;
  const Given given(state);
  const Tensor out = Tensor::empty(given.gout.size(), DType::f32, kGpu);
  const double seconds = bench::run_on(state, kGpu, [&] { Attend(given.forward(out), cuda::current_stream()); });
  given.report(state, given.bytes(), 4, seconds);
}

void fused(benchmark::State& state, DType dtype) {
  if (!bench::available(state, kGpu)) return;
  const Problem problem(state);
  DeformSampling input;
  input.value = cast(bench::uniform({problem.batch, problem.tokens, kHeads * kDim}, 1, kGpu, 1), dtype);
  input.sampling = bench::uniform({problem.batch, problem.tokens, kColumns}, 4, kGpu, 2);
  for (const LevelShape& shape : problem.shapes) {
    input.table_y.push_back(bench::uniform({shape.height, kColumns}, 1, kGpu, 3));
    input.table_x.push_back(bench::uniform({shape.width, kColumns}, 1, kGpu, 4));
  }
  input.out = dtype;
  const double seconds =
      bench::run_on(state, kGpu, [&] { benchmark::DoNotOptimize(deform_attention_fused(input, problem.shapes)); });
  problem.report(state, static_cast<std::int64_t>(2 * input.value.nbytes() + input.sampling.nbytes()),
                 dtype == DType::f32 ? 4 : 2, seconds);
}

enum class Form : std::uint8_t { atomics, deterministic, by_channel };

void backward(benchmark::State& state, Form form) {
  if (!bench::available(state, kGpu)) return;
  const Given given(state);
  const auto like = [](const Tensor& x) { return Tensor::empty(x.size(), DType::f32, kGpu); };
  const Tensor gvalue = like(given.value), glocations = like(given.locations), gweights = like(given.weights);
  DeformBackwardArgs args{given.gout.view(),
                          given.value.view(),
                          given.locations.view(),
                          given.weights.view(),
                          {gvalue.view()},
                          {glocations.view()},
                          {gweights.view()},
                          {},
                          {},
                          {}};
  std::copy_n(given.level, kMaxLevels, args.level);
  const double seconds = bench::run_on(state, kGpu, [&] {
    if (form == Form::by_channel) {
      cuda::clear(gvalue.data<float>(), gvalue.nbytes());
      return bench::attend_by_channel_backward(args, cuda::current_stream());
    }
    Tensor fixed, largest;
    if (form == Form::deterministic) {
      fixed = Tensor::zeros(given.value.size(), DType::i64, kGpu);
      largest = Tensor::zeros({2}, DType::i32, kGpu);
      args.fixed = fixed.view();
      args.largest = largest.view();
    }
    deform_attention_backward_cuda(args, cuda::current_stream());
  });
  const std::int64_t gradients = static_cast<std::int64_t>(given.value.nbytes());
  given.report(state, 2 * given.bytes() - gradients, 4, seconds);
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"height", "batch"})->ArgsProduct({{360, 480, 720}, {1, 16}})->UseManualTime();
  bench->Unit(benchmark::kMicrosecond);
}
BENCHMARK(attend<deform_attention_cuda>)->Name("attend")->Apply(sizes);
BENCHMARK(attend<bench::attend_by_channel>)->Name("attend_by_channel")->Apply(sizes);
BENCHMARK_CAPTURE(fused, f32, DType::f32)->Apply(sizes);
BENCHMARK_CAPTURE(fused, bf16, DType::bf16)->Apply(sizes);
BENCHMARK_CAPTURE(backward, atomics, Form::atomics)->Apply(sizes);
BENCHMARK_CAPTURE(backward, deterministic, Form::deterministic)->Apply(sizes);
BENCHMARK_CAPTURE(backward, by_channel, Form::by_channel)->Apply(sizes);

}  // namespace
}  // namespace visage::ops
