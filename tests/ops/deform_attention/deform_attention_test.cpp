#include "ops/deform_attention/deform_attention.h"

#include "ops/deform_attention/deform_attention_kernels.h"
#include "tensor/cpu/features.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cuda/determinism.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace visage::ops {
namespace {

using test::allclose;
using test::for_each_device;
using test::random_normal;

std::vector<LevelShape> shapes_of(const Tensor& sizes) {
  std::vector<LevelShape> shapes;
  for (std::int64_t l = 0; l < sizes.size(0); ++l)
    shapes.push_back({sizes.data<std::int64_t>()[2 * l], sizes.data<std::int64_t>()[2 * l + 1]});
  return shapes;
}

TEST(DeformAttentionGolden, EqualsTheRecordedNumbers) {
  const test::GoldenFile golden("ops.safetensors");
  const std::vector<LevelShape> shapes = shapes_of(golden.load("msda/in/shapes"));
  for_each_device([&](Device device) {
    const auto load = [&](const char* name) { return test::on(golden.load(name), device); };
    const Tensor y = deform_attention(load("msda/in/value"), shapes, load("msda/in/loc"), load("msda/in/attn"));
    EXPECT_TRUE(golden.matches("msda/out/y", y));
  });
}

TEST(DeformAttentionGolden, EqualsTheRecordedGradients) {
  const test::GoldenFile golden("ops.safetensors");
  const std::vector<LevelShape> shapes = shapes_of(golden.load("msda/in/shapes"));
  for_each_device([&](Device device) {
    const auto load = [&](const char* name) { return test::on(golden.load(name), device); };
    const auto got = test::gradients(
        [&](std::span<const Tensor> in) { return deform_attention(in[0], shapes, in[1], in[2]); },
        {load("msda/in/value"), load("msda/in/loc"), load("msda/in/attn")}, {true, true, true}, load("msda/up/y"));
    EXPECT_TRUE(golden.matches("msda/grad/value", got[0]));
    EXPECT_TRUE(golden.matches("msda/grad/loc", got[1]));
    EXPECT_TRUE(golden.matches("msda/grad/attn", got[2]));
  });
}

struct SamplingCase {
  std::int64_t batch, queries, heads, points, dim;
  std::vector<LevelShape> shapes;
};

// Locations in the middle part of the cells, some of them outside: the stencil of the gradient check stays away from
// the kinks at the pixel centres.
std::vector<Tensor> sampling_inputs(const SamplingCase& c) {
  std::int64_t tokens = 0;
  for (const LevelShape& shape : c.shapes) tokens += shape.height * shape.width;
  const std::int64_t levels = std::ssize(c.shapes);
  const Tensor locations = random_normal({c.batch, c.queries, c.heads, levels, c.points, 2}, 2, DType::f32, 0.5, 0.5);
  for (std::int64_t i = 0; i < locations.numel(); ++i) {
    const LevelShape& shape = c.shapes[i / 2 / c.points % levels];
    const auto size = static_cast<float>(i % 2 ? shape.height : shape.width);
    const float pixel = locations.data<float>()[i] * size - 0.5f, cell = std::floor(pixel);
    locations.data<float>()[i] = (cell + 0.3f + 0.4f * (pixel - cell) + 0.5f) / size;
  }
  return {random_normal({c.batch, tokens, c.heads, c.dim}, 1), locations,
          random_normal({c.batch, c.queries, c.heads, levels, c.points}, 3)};
}

TEST(DeformAttention, GradientsAreTheDerivatives) {
  const std::vector<SamplingCase> cases = {{1, 3, 2, 2, 3, {{2, 3}, {4, 1}}},
                                           {2, 20, 2, 4, 32, {{2, 3}, {3, 5}, {6, 7}}}};
  for (const SamplingCase& c : cases) {
    const auto attend = [&](std::span<const Tensor> in) { return deform_attention(in[0], c.shapes, in[1], in[2]); };
    for_each_device([&](Device device) {
      std::vector<Tensor> inputs;
      for (const Tensor& input : sampling_inputs(c)) inputs.push_back(test::on(input, device));
      EXPECT_TRUE(test::gradcheck(attend, inputs, {.step = 2e-4, .tolerance = 2e-3})) << c.dim;
    });
  }
}

TEST(DeformAttention, GradientsDoNotDependOnTheNumberOfThreads) {
  const SamplingCase c{2, 70, 3, 4, 32, {{3, 5}, {6, 10}}};
  const auto attend = [&](std::span<const Tensor> in) { return deform_attention(in[0], c.shapes, in[1], in[2]); };
  const Tensor up = random_normal({2, 70, 96}, 5);
  const auto run = [&] { return test::gradients(attend, sampling_inputs(c), {true, true, true}, up); };
  const auto many = run();
  const int threads = cpu::num_threads();
  cpu::set_num_threads(1);
  const auto one = run();
  cpu::set_num_threads(threads);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(many[i]), test::values_of(one[i])) << i;
}

std::vector<Tensor> attend_in(const SamplingCase& c, const std::vector<Tensor>& in) {
  return {deform_attention(in[0], c.shapes, in[1], in[2])};
}

TEST(DeformAttention, TheSameOnEveryDevice) {
  const std::vector<SamplingCase> cases = {
      {2, 101, 2, 4, 32, {{2, 4}, {3, 7}, {8, 9}}},  // the models' sizes, as many queries as tokens
      {1, 70, 1, 4, 64, {{1, 1}, {3, 5}, {6, 5}}},   // two tiles of channels
      {2, 9, 3, 3, 24, {{5, 3}, {4, 9}}},            // packets that do not fill a tile
      {1, 5, 2, 9, 7, {{2, 3}, {1, 1}, {4, 1}}},     // no packets, three chunks of samples
      {1, 3, 1, 2, 35, {{2, 3}}},                    // no packets, two tiles
      {1, 1, 1, 1, 1, {{1, 1}}},
      {2, 0, 1, 1, 4, {{2, 2}}},
      {1, 3, 2, 0, 4, {{2, 2}}},
  };
  for (const bool deterministic : {true, false}) {
    const cuda::DeterminismScope scope(deterministic);
    for (const SamplingCase& c : cases) {
      EXPECT_TRUE(test::same_on_devices([&](const std::vector<Tensor>& in) { return attend_in(c, in); },
                                        sampling_inputs(c), {.gradients_of = {0, 1, 2}}))
          << "heads of " << c.dim << (deterministic ? ", deterministic" : "");
    }
  }
}

TEST(DeformAttention, GradientsOfSomeInputsOnEveryDevice) {
  const SamplingCase c{1, 9, 2, 4, 32, {{1, 2}, {3, 5}, {2, 2}}};
  for (const std::vector<std::size_t>& some : {std::vector<std::size_t>{0}, {1}, {2}}) {
    EXPECT_TRUE(test::same_on_devices([&](const std::vector<Tensor>& in) { return attend_in(c, in); },
                                      sampling_inputs(c), {.gradients_of = some}));
  }
}

TEST(DeformAttention, FixedPointSumsFollowTheMagnitude) {
  const SamplingCase c{1, 40, 1, 4, 32, {{2, 3}, {3, 5}, {5, 7}}};
  for (const double magnitude : {1e-30, 1e-12, 1e12, 1e30}) {
    std::vector<Tensor> inputs = sampling_inputs(c);
    inputs[2] = random_normal(inputs[2].size(), 3, DType::f32, 0, magnitude);
    EXPECT_TRUE(test::same_on_devices([&](const std::vector<Tensor>& in) { return attend_in(c, in); }, inputs,
                                      {.gradients_of = {0}}))
        << magnitude;
  }
}

TEST(DeformAttention, ValueGradientsAreBitwiseReproducible) {
  const SamplingCase c{1, 200, 1, 4, 32, {{2, 3}, {1, 1}, {2, 2}}};
  for_each_device([&](Device device) {
    std::vector<Tensor> inputs;
    for (const Tensor& input : sampling_inputs(c)) inputs.push_back(test::on(input, device));
    const Tensor up = test::on(random_normal({1, 200, 32}, 5), device);
    const auto attend = [&](std::span<const Tensor> in) { return deform_attention(in[0], c.shapes, in[1], in[2]); };
    const auto run = [&] { return test::values_of(test::gradients(attend, inputs, {true, false, false}, up)[0]); };
    EXPECT_EQ(run(), run());
  });
}

TEST(DeformAttention, AGradientThatIsNotFiniteIsNotLost) {
  const SamplingCase c{1, 4, 1, 4, 32, {{2, 3}, {1, 1}, {2, 2}}};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for_each_device([&](Device device) {
      std::vector<Tensor> inputs;
      for (const Tensor& input : sampling_inputs(c)) inputs.push_back(test::on(input, device));
      Tensor up = random_normal({1, 4, 32}, 5);
      for (std::int64_t i = 0; i < 4; ++i) up.data<float>()[i * 32 + 7] = bad;
      const auto attend = [&](std::span<const Tensor> in) { return deform_attention(in[0], c.shapes, in[1], in[2]); };
      const auto got = test::gradients(attend, inputs, {true, true, true}, test::on(up, device));
      const std::vector<double> value = test::values_of(got[0]);
      EXPECT_TRUE(std::any_of(value.begin(), value.end(), [](double x) { return !std::isfinite(x); }));
    });
  }
}

struct Problem {
  std::vector<LevelShape> shapes;
  std::int64_t batch = 2, heads = 4, points = 4, dim = 32;
  DType value = DType::f32, sampling = DType::f32, out = DType::f32;
  bool tables = true;
  std::int64_t gap = 3;  // columns before the value: 16-byte rows need a multiple of 4 or 8
  std::int64_t tokens() const {
    std::int64_t count = 0;
    for (const LevelShape& shape : shapes) count += shape.height * shape.width;
    return count;
  }
  std::int64_t samples() const { return std::ssize(shapes) * points; }
  std::int64_t columns() const { return heads * samples() * 3; }
};

// Value and sampling are windows of one pitched tensor; offsets of several pixels reach outside of every level.
DeformSampling random_input(const Problem& p, Device device = {}) {
  const std::int64_t channels = p.heads * p.dim, wide = channels + p.columns() + p.gap;
  DeformSampling input;
  const auto window = [&](DType type, std::uint64_t seed, std::int64_t width, std::int64_t at) {
    const Tensor all = test::on(random_normal({p.batch, p.tokens(), wide}, seed, type, 0, 2), device);
    return Tensor::alias(all, {p.batch, p.tokens(), width}, all.stride(), at);
  };
  input.value = window(p.value, 1, channels, p.gap);
  input.sampling = window(p.sampling, 2, p.columns(), channels);
  if (p.tables)
    for (const LevelShape& shape : p.shapes) {
      input.table_y.push_back(test::on(random_normal({shape.height, p.columns()}, 3), device));
      input.table_x.push_back(test::on(random_normal({shape.width, p.columns()}, 4), device));
    }
  input.heads = p.heads;
  input.points = p.points;
  input.out = p.out;
  return input;
}

// The same problem in the form of the paper: normalised locations and softmaxed weights, in double.
Tensor by_reference(const Problem& p, const DeformSampling& input) {
  const std::int64_t samples = p.samples(), tokens = p.tokens();
  const std::vector<double> rows = test::values_of(input.sampling);
  std::vector<double> locations, weights;
  for (std::int64_t n = 0; n < p.batch; ++n)
    for (std::size_t own = 0, token = 0; own < p.shapes.size(); ++own)
      for (std::int64_t y = 0; y < p.shapes[own].height; ++y)
        for (std::int64_t x = 0; x < p.shapes[own].width; ++x, ++token) {
          std::vector<double> row(rows.begin() + (n * tokens + token) * p.columns(),
                                  rows.begin() + (n * tokens + token + 1) * p.columns());
          for (std::int64_t c = 0; p.tables && c < p.columns(); ++c)
            row[c] += static_cast<double>(input.table_y[own].data<float>()[y * p.columns() + c]) +
                      static_cast<double>(input.table_x[own].data<float>()[x * p.columns() + c]);
          for (std::int64_t h = 0; h < p.heads; ++h) {
            const double* logits = row.data() + (p.heads * 2 + h) * samples;
            double sum = 0;
            for (std::int64_t s = 0; s < samples; ++s) sum += std::exp(logits[s]);
            for (std::int64_t s = 0; s < samples; ++s) {
              const LevelShape& to = p.shapes[s / p.points];
              const double* offset = row.data() + (h * samples + s) * 2;
              weights.push_back(std::exp(logits[s]) / sum);
              locations.push_back((static_cast<double>(x) + 0.5) / static_cast<double>(p.shapes[own].width) +
                                  offset[0] / static_cast<double>(to.width));
              locations.push_back((static_cast<double>(y) + 0.5) / static_cast<double>(p.shapes[own].height) +
                                  offset[1] / static_cast<double>(to.height));
            }
          }
        }
  const std::int64_t levels = std::ssize(p.shapes);
  const Tensor value = test::tensor_of({p.batch, tokens, p.heads, p.dim}, test::values_of(input.value));
  return deform_attention(value, p.shapes, test::tensor_of({p.batch, tokens, p.heads, levels, p.points, 2}, locations),
                          test::tensor_of({p.batch, tokens, p.heads, levels, p.points}, weights));
}

DeformFusedArgs portable_args(const Problem& p, const DeformSampling& input, const Tensor& out) {
  DeformFusedArgs args{
      input.value.view(), input.sampling.view(), {}, {}, out.view(), {}, std::ssize(p.shapes), p.heads, p.points};
  std::int64_t start = 0;
  for (std::size_t l = 0; l < p.shapes.size(); ++l) {
    args.level[l] = {p.shapes[l].height, p.shapes[l].width, start};
    start += p.shapes[l].height * p.shapes[l].width;
    if (p.tables) args.table_y[l] = input.table_y[l].view();
    if (p.tables) args.table_x[l] = input.table_x[l].view();
  }
  return args;
}

// The locations of the reference are rounded to f32 relative to the level size, which moves a sample by up to 1e-6
// pixels.
constexpr double kLocationError = 2e-5;

TEST(DeformAttention, FusedEqualsTheReferenceFormulation) {
  const std::vector<Problem> problems = {
      {.shapes = {{3, 5}, {4, 7}, {9, 10}}},
      {.shapes = {{3, 5}, {4, 7}, {9, 10}}, .tables = false},
      {.shapes = {{3, 5}, {4, 7}, {9, 10}}, .gap = 8},
      {.shapes = {{3, 5}, {6, 10}}, .dim = 24, .gap = 8},
      {.shapes = {{1, 1}, {2, 1}, {1, 7}}},
      {.shapes = {{5, 3}, {4, 9}}, .dim = 16},
      {.shapes = {{9, 2}}, .heads = 1, .dim = 64},
      {.shapes = {{2, 3}, {4, 4}, {3, 5}, {5, 7}}, .heads = 2},
      {.shapes = {{4, 3}, {8, 6}}, .heads = 3, .points = 3, .dim = 8},
      {.shapes = {{3, 5}, {4, 7}, {9, 10}}, .points = 7, .dim = 32},
      {.shapes = {{3, 5}, {4, 7}, {9, 10}}, .value = DType::bf16},
      {.shapes = {{1, 9}, {9, 8}, {4, 3}}, .dim = 64, .value = DType::bf16, .out = DType::bf16, .gap = 8},
      {.shapes = {{1, 9}, {9, 8}}, .dim = 40, .value = DType::bf16, .sampling = DType::bf16, .gap = 8},
      {.shapes = {{3, 5}, {6, 10}}, .value = DType::bf16, .sampling = DType::bf16, .out = DType::bf16},
      {.shapes = {{3, 5}, {6, 10}}, .dim = 16, .value = DType::bf16, .out = DType::bf16},
  };
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const Problem& p = problems[i];
    const DeformSampling input = random_input(p);
    const Tensor want = by_reference(p, input);
    const test::Tolerance tolerance{.reduced = 4 * p.samples(), .absolute = kLocationError};
    for_each_device([&](Device device) {
      EXPECT_TRUE(allclose(deform_attention_fused(random_input(p, device), p.shapes), want, tolerance))
          << "problem " << i;
    });
    const Tensor portable = Tensor::empty(want.size(), p.out);
    deform_attention_fused_cpu(portable_args(p, input, portable));
    EXPECT_TRUE(allclose(portable, want, tolerance)) << "portable kernel, problem " << i;
  }
}

TEST(DeformAttention, TheWideKernelTakesTheModelsSizes) {
  const Problem p{.shapes = {{3, 5}, {6, 10}, {12, 20}}};
  const DeformSampling input = random_input(p);
  EXPECT_TRUE(deform_attention_fused_fits_avx512(portable_args(p, input, Tensor::empty({2, 315, 128}))));
}

TEST(DeformAttention, PositionsThatAreNotNumbersReadNothing) {
  const Problem p{.shapes = {{2, 3}}, .batch = 1, .heads = 1, .tables = false};
  DeformSampling input = random_input(p);
  input.sampling = Tensor::zeros({1, 6, p.columns()});
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e30f, 3e9f};
  for (std::int64_t i = 0; i < 6 * p.columns(); ++i)
    if (i % p.columns() < 8) input.sampling.data<float>()[i] = bad[i % 4];
  for_each_device([&](Device device) {
    DeformSampling there = input;
    there.value = random_input(p, device).value;
    there.sampling = test::on(input.sampling, device);
    EXPECT_TRUE(allclose(deform_attention_fused(there, p.shapes), Tensor::zeros({1, 6, 32})));
  });
  const Tensor portable = Tensor::empty({1, 6, 32});
  deform_attention_fused_cpu(portable_args(p, input, portable));
  EXPECT_TRUE(allclose(portable, Tensor::zeros({1, 6, 32})));
}

TEST(DeformAttention, RefusesPartsThatDoNotFit) {
  const Problem p{.shapes = {{2, 3}, {4, 6}}};
  const DeformSampling input = random_input(p);
  const std::vector<LevelShape> other = {{2, 3}, {4, 5}};
  EXPECT_THROW((void)deform_attention_fused(input, other), ShapeError);
  DeformSampling broken = input;
  broken.table_x.pop_back();
  EXPECT_THROW((void)deform_attention_fused(broken, p.shapes), ShapeError);
  broken = input;
  broken.heads = 3;
  EXPECT_THROW((void)deform_attention_fused(broken, p.shapes), ShapeError);
  broken = input;
  broken.out = DType::i32;
  EXPECT_THROW((void)deform_attention_fused(broken, p.shapes), DTypeError);
  const Tensor value = Tensor::zeros({1, 30, 2, 4});
  EXPECT_THROW(
      (void)deform_attention(value, p.shapes, Tensor::zeros({1, 5, 2, 2, 4, 2}), Tensor::zeros({1, 5, 2, 3, 4})),
      ShapeError);
}

}  // namespace
}  // namespace visage::ops
