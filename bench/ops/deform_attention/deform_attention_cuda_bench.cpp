#include "bench/ops/deform_attention/deform_attention_peer.h"
#include "bench/support/gpu.h"
#include "ops/deform_attention/levels.h"
#include "ops/deform_attention/sampling_locations.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/cuda/copy.h"
#include "tensor/cuda/stream.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <map>
#include <random>

// One encoder layer of a frame on the GPU: 8 heads of 32 channels, 3 levels of 4 points. Arguments: the height of the
// frame, whose data at batch 1 stay in the L2 cache, and the batch. GB/s counts what has to cross the memory, inputs
// and outputs once; FLOP/s the multiply-adds of the corners.
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

  bench::Work work(std::size_t bytes) const {
    const std::int64_t corners = rows() * kHeads * kLevels * kPoints * 4;
    return {.flops = 2.0 * static_cast<double>(corners * kDim), .bytes = static_cast<double>(bytes)};
  }
};

Tensor uniform(const Dims& size, float range) {
  std::minstd_rand random(static_cast<std::uint32_t>(size.numel()));
  Tensor x = Tensor::empty(size);
  const float step = 2 * range / static_cast<float>(std::minstd_rand::max());
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = static_cast<float>(random()) * step - range;
  return bench::to_gpu(x);
}

// Locations around the tokens' own places, a few pixels away, and weights.
struct Given : Problem {
  Tensor value, locations, weights, gout;

  explicit Given(const benchmark::State& state) : Problem(state) {
    value = uniform({batch, tokens, kHeads, kDim}, 1);
    const Tensor offsets = uniform({batch, tokens, kColumns / 3 * 2}, 4);
    locations = sampling_locations(offsets, shapes, kHeads, kPoints);
    weights = uniform({batch, tokens, kHeads, kLevels, kPoints}, 1);
    gout = uniform({batch, tokens, kHeads * kDim}, 1);
  }
  DeformAttentionArgs forward(const Tensor& out) const {
    DeformAttentionArgs args{value.view(), locations.view(), weights.view(), out.view(), {}};
    std::copy_n(level, kMaxLevels, args.level);
    return args;
  }
  std::size_t bytes() const { return 2 * value.nbytes() + locations.nbytes() + weights.nbytes(); }
};

template <auto Attend>
void attend(benchmark::State& state) {
  const Given given(state);
  const Tensor out = Tensor::empty(given.gout.size(), DType::f32, kGpu);
  bench::run_on_gpu(state, given.work(given.bytes()), [&] { Attend(given.forward(out), cuda::current_stream()); });
}

void fused(benchmark::State& state, DType dtype) {
  const Problem problem(state);
  DeformSampling input;
  input.value = cast(uniform({problem.batch, problem.tokens, kHeads * kDim}, 1), dtype);
  input.sampling = uniform({problem.batch, problem.tokens, kColumns}, 4);
  for (const LevelShape& shape : problem.shapes) {
    input.table_y.push_back(uniform({shape.height, kColumns}, 1));
    input.table_x.push_back(uniform({shape.width, kColumns}, 1));
  }
  input.out = dtype;
  bench::run_on_gpu(state, problem.work(2 * input.value.nbytes() + input.sampling.nbytes()),
                    [&] { (void)deform_attention_fused(input, problem.shapes); });
}

enum class Form : std::uint8_t { atomics, deterministic, by_channel };

void backward(benchmark::State& state, Form form) {
  const Given given(state);
  const auto like = [](const Tensor& x) { return Tensor::empty(x.size(), DType::f32, kGpu); };
  const Tensor gvalue = like(given.value), glocations = like(given.locations), gweights = like(given.weights);
  DeformBackwardArgs args{
      given.gout.view(), given.value.view(), given.locations.view(), given.weights.view(), {}, {}, {}, {}, {}, {}};
  args.gvalue = {gvalue.view()};
  args.glocations = {glocations.view()};
  args.gweights = {gweights.view()};
  std::copy_n(given.level, kMaxLevels, args.level);
  bench::run_on_gpu(state, given.work(2 * given.bytes()), [&] {
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
}

bool register_form(const std::string& name, const std::function<void(benchmark::State&)>& function) {
  return bench::register_on_gpu(name, function, {{360, 480, 720}, {1, 16}});
}

[[maybe_unused]] const bool kOnGpu =
    register_form("attend", attend<deform_attention_cuda>) &&
    register_form("attend_by_channel", attend<bench::attend_by_channel>) &&
    register_form("fused_f32", [](benchmark::State& s) { fused(s, DType::f32); }) &&
    register_form("fused_bf16", [](benchmark::State& s) { fused(s, DType::bf16); }) &&
    register_form("backward_atomics", [](benchmark::State& s) { backward(s, Form::atomics); }) &&
    register_form("backward_deterministic", [](benchmark::State& s) { backward(s, Form::deterministic); }) &&
    register_form("backward_by_channel", [](benchmark::State& s) { backward(s, Form::by_channel); });

}  // namespace
}  // namespace visage::ops
