#include "ops/attention/masked_attention.h"

#include "autograd/tape.h"
#include "ops/attention/attention_mask.h"
#include "ops/attention/masked_attention_kernels.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/views.h"
#include "tensor/cpu/parallel.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/golden.h"
#include "tests/support/gradcheck.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <cmath>

namespace visage::ops {
namespace {

using test::allclose;
using test::random_normal;

struct Problem {
  std::int64_t batch = 2, queries = 13, keys = 200, heads = 2, dim = 32;
  std::int64_t height = 0, width = 0;  // with separable scores: keys = height * width
  DType dtype = DType::f32, out = DType::f32;
  double visible = 0.5;  // share of keys; 0: no mask
};

struct Inputs {
  Tensor q, k, v;
  AttentionOptions options;
};

// k and v are windows of one pitched tensor. Query 0 blocks every key, query 1 sees only the last one.
Inputs random_inputs(const Problem& p) {
  const std::int64_t channels = p.heads * p.dim;
  const Tensor wide = random_normal({p.batch, p.keys, 2 * channels + 7}, 1, p.dtype);
  Inputs in;
  in.q = random_normal({p.batch, p.queries, channels}, 2, p.dtype);
  in.k = Tensor::alias(wide, {p.batch, p.keys, channels}, wide.stride(), 2);
  in.v = Tensor::alias(wide, {p.batch, p.keys, channels}, wide.stride(), channels + 5);
  in.options.heads = p.heads;
  in.options.out = p.out;
  if (p.height) {
    in.options.score_y = random_normal({p.batch, p.heads, p.queries, p.height}, 3, DType::f32, 0, 3);
    in.options.score_x = random_normal({p.batch, p.heads, p.queries, p.width}, 4, DType::f32, 0, 3);
  }
  if (p.visible > 0) {
    in.options.blocked = Tensor::zeros({p.batch, p.queries, p.keys}, DType::u8);
    const std::vector<double> draw = test::values_of(random_normal({p.batch, p.queries, p.keys}, 5));
    for (std::size_t i = 0; i < draw.size(); ++i) {
      const auto key = static_cast<std::int64_t>(i) % p.keys, query = static_cast<std::int64_t>(i) / p.keys % p.queries;
      bool blocked = draw[i] > (p.visible < 0.3 ? -1.5 : 0);
      if (query == 0) blocked = true;
      if (query == 1) blocked = key != p.keys - 1;
      in.options.blocked.data<std::uint8_t>()[i] = blocked;
    }
  }
  return in;
}

// Softmax attention in double, key by key.
Tensor by_definition(const Problem& p, const Inputs& in) {
  const std::int64_t channels = p.heads * p.dim;
  const std::vector<double> q = test::values_of(in.q), k = test::values_of(in.k), v = test::values_of(in.v);
  std::vector<double> result(q.size());
  for (std::int64_t n = 0; n < p.batch; ++n)
    for (std::int64_t h = 0; h < p.heads; ++h)
      for (std::int64_t i = 0; i < p.queries; ++i) {
        const std::uint8_t* blocked =
            in.options.blocked ? in.options.blocked.data<std::uint8_t>() + (n * p.queries + i) * p.keys : nullptr;
        bool open = true;
        for (std::int64_t t = 0; blocked && t < p.keys; ++t) open = open && blocked[t];
        std::vector<double> weight(p.keys, 0);
        double sum = 0;
        for (std::int64_t t = 0; t < p.keys; ++t) {
          if (blocked && !open && blocked[t]) continue;
          double score = 0;
          for (std::int64_t d = h * p.dim; d < (h + 1) * p.dim; ++d)
            score += q[(n * p.queries + i) * channels + d] * k[(n * p.keys + t) * channels + d];
          const std::int64_t row = (n * p.heads + h) * p.queries + i;
          if (p.height)
            score += static_cast<double>(in.options.score_y.data<float>()[row * p.height + t / p.width]) +
                     static_cast<double>(in.options.score_x.data<float>()[row * p.width + t % p.width]);
          sum += weight[t] = std::exp(score / std::sqrt(static_cast<double>(p.dim)));
        }
        for (std::int64_t t = 0; t < p.keys; ++t)
          for (std::int64_t d = h * p.dim; d < (h + 1) * p.dim; ++d)
            result[(n * p.queries + i) * channels + d] += weight[t] / sum * v[(n * p.keys + t) * channels + d];
      }
  return test::tensor_of(in.q.size(), result);
}

Tensor bits_of(const Tensor& blocked) {
  std::vector<double> logits = test::values_of(blocked);
  for (double& x : logits) x = 0.5 - x;
  return mask_bits(test::tensor_of(blocked.size(), logits), MaskBit::visible);
}

Tensor portable(const Problem& p, const Inputs& in) {
  const Tensor out = Tensor::empty(in.q.size(), p.out);
  const auto view = [](const Tensor& x) { return x ? x.view() : View{}; };
  masked_attention_cpu({in.q.view(),
                        in.k.view(),
                        in.v.view(),
                        view(in.options.blocked),
                        {},
                        view(in.options.score_y),
                        view(in.options.score_x),
                        out.view(),
                        p.heads,
                        1 / std::sqrt(static_cast<float>(p.dim))});
  return out;
}

TEST(MaskedAttention, EqualsTheDefinition) {
  const std::vector<Problem> problems = {
      {.visible = 0},
      {},
      {.visible = 0.1},
      {.batch = 1, .queries = 100, .keys = 405, .heads = 8, .height = 15, .width = 27},
      {.keys = 135, .height = 135, .width = 1},
      {.keys = 64, .height = 1, .width = 64, .visible = 0},
      {.queries = 6, .keys = 1, .visible = 0},
      {.keys = 129, .dim = 16},
      {.keys = 128, .heads = 1, .dim = 64},
      {.keys = 70, .heads = 4, .dim = 8},
      {.keys = 77, .heads = 1, .dim = 20, .height = 7, .width = 11},
      {.dtype = DType::bf16},
      {.dtype = DType::bf16, .out = DType::bf16, .visible = 0},
      {.dim = 24, .dtype = DType::bf16, .out = DType::bf16},
  };
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const Problem& p = problems[i];
    Inputs in = random_inputs(p);
    const Tensor want = by_definition(p, in);
    // A score is rounded relative to its size (about 10 here), which moves a weight by as much as the sum of the
    // values.
    const test::Tolerance tolerance{.reduced = p.keys, .absolute = 1e-5};
    EXPECT_TRUE(allclose(masked_attention(in.q, in.k, in.v, in.options), want, tolerance)) << "problem " << i;
    EXPECT_TRUE(allclose(portable(p, in), want, tolerance)) << "portable kernel, problem " << i;
    if (!in.options.blocked) continue;
    in.options.allowed = bits_of(in.options.blocked);
    in.options.blocked = {};
    EXPECT_TRUE(allclose(masked_attention(in.q, in.k, in.v, in.options), want, tolerance)) << "bits, problem " << i;
  }
}

TEST(MaskedAttention, LargeScoresDoNotOverflow) {
  const Problem p{.batch = 1, .queries = 7, .keys = 300, .visible = 0};
  Inputs in = random_inputs(p);
  for (std::int64_t i = 0; i < in.q.numel(); ++i) in.q.data<float>()[i] *= 100;
  const Tensor want = by_definition(p, in);
  // Scores reach 500, so that their rounding moves a weight by 1e-4.
  EXPECT_TRUE(allclose(masked_attention(in.q, in.k, in.v, in.options), want, {.reduced = 300, .absolute = 5e-4}));
  EXPECT_TRUE(allclose(portable(p, in), want, {.reduced = 300, .absolute = 5e-4}));
}

TEST(MaskedAttention, TheScaleIsAnOption) {
  const Problem p{.batch = 1, .visible = 0};
  Inputs in = random_inputs(p);
  in.options.scale = 1;
  const Tensor got = masked_attention(in.q, in.k, in.v, in.options);
  for (std::int64_t i = 0; i < in.q.numel(); ++i) in.q.data<float>()[i] *= std::sqrt(32.f);
  in.options.scale = 0;
  EXPECT_TRUE(allclose(got, masked_attention(in.q, in.k, in.v, in.options), {.reduced = 200, .absolute = 1e-5}));
}

Tensor contiguous(const Tensor& x) { return test::tensor_of(x.size(), test::values_of(x), x.dtype()); }

TEST(MaskedAttention, GradientsAreTheDerivatives) {
  const std::vector<Problem> problems = {{.batch = 1, .queries = 3, .keys = 5, .heads = 2, .dim = 4},
                                         {.batch = 1, .queries = 4, .keys = 3, .dim = 4, .visible = 0},
                                         {.batch = 1, .queries = 7, .keys = 70},
                                         {.batch = 1, .queries = 7, .keys = 64, .visible = 0},
                                         {.queries = 4, .keys = 129, .dim = 12, .visible = 0.1}};
  for (std::size_t i = 0; i < problems.size(); ++i) {
    Inputs in = random_inputs(problems[i]);
    const auto attend = [&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], in.options); };
    const std::vector<Tensor> inputs = {in.q, contiguous(in.k), contiguous(in.v)};
    EXPECT_TRUE(test::gradcheck(attend, inputs)) << "problem " << i;
    if (!in.options.blocked) continue;
    in.options.allowed = bits_of(in.options.blocked);
    in.options.blocked = {};
    EXPECT_TRUE(test::gradcheck(attend, inputs)) << "bits, problem " << i;
  }
}

TEST(MaskedAttention, WithOneKeyOnlyTheValueMatters) {
  const Inputs in = random_inputs({.keys = 1, .visible = 0});
  const auto attend = [&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], in.options); };
  const auto got = test::gradients(attend, {in.q, in.k, in.v}, {true, true, true}, random_normal(in.q.size(), 9));
  EXPECT_TRUE(allclose(got[0], Tensor::zeros(in.q.size()), {.absolute = 1e-4}));
  EXPECT_TRUE(allclose(got[1], Tensor::zeros(in.k.size()), {.absolute = 1e-4}));
}

TEST(MaskedAttention, ATensorGivenTwiceGetsAllItsGradients) {
  const Tensor x = random_normal({1, 9, 32}, 1), y = random_normal({1, 9, 32}, 2);
  const AttentionOptions options{.heads = 2};
  EXPECT_TRUE(
      test::gradcheck([&](std::span<const Tensor> t) { return masked_attention(t[0], t[0], t[0], options); }, {x}));
  EXPECT_TRUE(
      test::gradcheck([&](std::span<const Tensor> t) { return masked_attention(t[0], t[0], t[1], options); }, {x, y}));
  EXPECT_TRUE(
      test::gradcheck([&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[1], options); }, {x, y}));
}

TEST(MaskedAttention, PitchedInputsHaveTheSameGradients) {
  const Inputs in = random_inputs({});
  const auto attend = [&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], in.options); };
  const Tensor up = random_normal(in.q.size(), 9);
  const auto pitched = test::gradients(attend, {in.q, in.k, in.v}, {true, true, true}, up);
  const auto plain = test::gradients(attend, {in.q, contiguous(in.k), contiguous(in.v)}, {true, true, true}, up);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(pitched[i]), test::values_of(plain[i])) << i;
}

TEST(MaskedAttention, GradientsDoNotDependOnTheNumberOfThreads) {
  const Inputs in = random_inputs({});
  const auto attend = [&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], in.options); };
  const Tensor up = random_normal(in.q.size(), 9);
  const auto run = [&] { return test::gradients(attend, {in.q, in.k, in.v}, {true, true, true}, up); };
  const auto many = run();
  const int threads = cpu::num_threads();
  cpu::set_num_threads(1);
  const auto one = run();
  cpu::set_num_threads(threads);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(many[i]), test::values_of(one[i])) << i;
}

/// Inputs of same_on_devices: q, k, v (contiguous), a mask in one of its forms, score_y, score_x.
std::vector<Tensor> on_cpu(const Problem& p, bool as_bits) {
  const Inputs in = random_inputs(p);
  Tensor mask = in.options.blocked;
  if (mask && as_bits) mask = bits_of(mask);
  return {in.q, contiguous(in.k), contiguous(in.v), mask, in.options.score_y, in.options.score_x};
}

test::TensorFunction attend_with(const Problem& p, bool as_bits) {
  return [=](const std::vector<Tensor>& in) {
    AttentionOptions options{.heads = p.heads, .score_y = in[4], .score_x = in[5], .out = p.out};
    (as_bits ? options.allowed : options.blocked) = in[3];
    return std::vector<Tensor>{masked_attention(in[0], in[1], in[2], options)};
  };
}

// Several tiles of queries and of keys, one split and many, heads shorter, longer and not a multiple of 32, rows
// without a visible key, one key, one query, grids, and keys that end inside a tile.
TEST(MaskedAttention, TheSameOnEveryDevice) {
  const std::vector<Problem> problems = {
      {.batch = 1, .queries = 70, .keys = 257},
      {.queries = 5, .keys = 130, .visible = 0},
      {.batch = 1, .queries = 1, .keys = 1, .visible = 0},
      {.batch = 1, .queries = 3, .keys = 330, .heads = 1, .dim = 9, .visible = 0.1},
      {.batch = 1, .queries = 4, .keys = 70, .heads = 2, .dim = 72},
      {.batch = 1, .queries = 9, .keys = 135, .heads = 2, .height = 9, .width = 15},
      {.batch = 1, .queries = 9, .keys = 135, .heads = 1, .dim = 40, .height = 1, .width = 135, .visible = 0},
      {.batch = 1, .queries = 3, .keys = 7, .heads = 1, .height = 7, .width = 1, .out = DType::bf16},
  };
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const Problem& p = problems[i];
    const bool as_bits = i % 2 != 0;
    test::SameOnDevicesOptions options;
    if (p.out == DType::bf16) options.output_tolerance = 1e-2;
    if (!p.height) options.gradients_of = {0, 1, 2};
    if (p.keys == 1) options.gradients_of = {2};  // the others are 0 but for rounding
    EXPECT_TRUE(test::same_on_devices(attend_with(p, as_bits), on_cpu(p, as_bits), options)) << "problem " << i;
  }
}

// Keys and values in bf16: heads of 32 and 64 go to the tensor cores, which round the queries and the weights too.
TEST(MaskedAttention, TheSameOnEveryDeviceInBf16) {
  const std::vector<Problem> problems = {
      {.batch = 1, .queries = 150, .keys = 257, .dtype = DType::bf16, .out = DType::bf16},
      {.queries = 5, .keys = 330, .dtype = DType::bf16, .visible = 0.1},
      {.batch = 1, .queries = 20, .keys = 135, .heads = 2, .height = 9, .width = 15, .dtype = DType::bf16},
      {.batch = 1, .queries = 20, .keys = 154, .heads = 2, .height = 11, .width = 14, .dtype = DType::bf16},
      {.batch = 1, .queries = 9, .keys = 2, .heads = 1, .dim = 64, .height = 1, .width = 2, .dtype = DType::bf16},
      {.batch = 1, .queries = 9, .keys = 66, .heads = 1, .dim = 64, .dtype = DType::bf16, .visible = 0},
      {.batch = 1, .queries = 18, .keys = 140, .heads = 2, .dim = 64, .dtype = DType::bf16, .out = DType::bf16},
      {.batch = 1, .queries = 1, .keys = 1, .heads = 1, .dtype = DType::bf16, .visible = 0},
      {.batch = 1, .queries = 4, .keys = 65, .heads = 2, .dim = 20, .dtype = DType::bf16, .out = DType::bf16},
      {.batch = 1, .queries = 17, .keys = 129, .heads = 134, .dtype = DType::bf16},  // three tiles of keys a block
  };
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const bool as_bits = i % 2 == 0;
    std::vector<Tensor> inputs = on_cpu(problems[i], as_bits);
    for (const DType q : {DType::bf16, DType::f32}) {
      if (q == DType::f32) inputs[0] = random_normal(inputs[0].size(), 2);
      EXPECT_TRUE(test::same_on_devices(attend_with(problems[i], as_bits), inputs, {.output_tolerance = 1e-2}))
          << "problem " << i << ", q " << name_of(q);
    }
  }
}

TEST(MaskedAttention, OnEveryDeviceGradientsAreBitwiseReproducible) {
  const Inputs in = random_inputs({.batch = 1, .queries = 66, .keys = 300, .visible = 0});
  test::for_each_device([&](Device device) {
    const std::vector<Tensor> inputs = {test::on(in.q, device), test::on(contiguous(in.k), device),
                                        test::on(contiguous(in.v), device)};
    const auto attend = [](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], {.heads = 2}); };
    const auto run = [&] {
      return test::gradients(attend, inputs, {true, true, true}, test::on(random_normal(in.q.size(), 9), device));
    };
    const std::vector<Tensor> once = run(), again = run();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(test::values_of(once[i]), test::values_of(again[i])) << i;
  });
}

TEST(MaskedAttention, TheSameOnEveryDeviceForPartsOfPitchedRows) {
  for (const std::int64_t first : {0, 1}) {  // rows of vectors, and rows that are not aligned
    const auto fn = [=](const std::vector<Tensor>& in) {
      const Tensor k = narrow(in[1], 2, first, 64), v = narrow(in[1], 2, 64 + first, 64);
      return std::vector<Tensor>{masked_attention(narrow(in[0], 2, first, 64), k, v, {.heads = 2})};
    };
    EXPECT_TRUE(test::same_on_devices(fn, {random_normal({2, 5, 68}, 1), random_normal({2, 67, 132}, 2)}));
  }
}

TEST(MaskedAttention, OnEveryDeviceATensorGivenTwiceGetsAllItsGradients) {
  const std::vector<Tensor> inputs = {random_normal({1, 70, 64}, 1), random_normal({1, 70, 64}, 2)};
  for (const int which : {0, 1, 2, 3}) {
    const auto fn = [=](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{
          masked_attention(in[0], in[which == 1 || which == 3], in[which == 2 || which == 3], {.heads = 2})};
    };
    EXPECT_TRUE(test::same_on_devices(fn, inputs, {.gradients_of = {0, 1}})) << which;
  }
}

TEST(MaskedAttention, RefusesGradientsItCannotCompute) {
  const autograd::Tape tape;
  Inputs in = random_inputs({.keys = 6, .height = 2, .width = 3, .visible = 0});
  autograd::set_requires_grad(in.options.score_y);
  EXPECT_THROW((void)masked_attention(in.q, in.k, in.v, in.options), AutogradError);
  in.options.score_y = autograd::detach(in.options.score_y);
  (void)masked_attention(in.q, in.k, in.v, in.options);
  autograd::set_requires_grad(in.q);
  EXPECT_THROW((void)masked_attention(in.q, in.k, in.v, in.options), AutogradError);
  Inputs half = random_inputs({.dtype = DType::bf16, .visible = 0});
  autograd::set_requires_grad(half.v);
  EXPECT_THROW((void)masked_attention(half.q, half.k, half.v, half.options), AutogradError);
}

TEST(MaskedAttention, RefusesPartsThatDoNotFit) {
  const Inputs in = random_inputs({});
  const auto with = [&](auto&& change) {
    Inputs changed = in;
    change(changed.options);
    (void)masked_attention(changed.q, changed.k, changed.v, changed.options);
  };
  EXPECT_THROW(with([](AttentionOptions& o) { o.heads = 3; }), ShapeError);
  EXPECT_THROW(with([](AttentionOptions& o) { o.blocked = Tensor::zeros({2, 13, 199}, DType::u8); }), ShapeError);
  EXPECT_THROW(with([](AttentionOptions& o) { o.blocked = Tensor::zeros({2, 13, 200}); }), DTypeError);
  EXPECT_THROW(with([](AttentionOptions& o) { o.allowed = Tensor::zeros({2, 13, 4}, DType::i64); }), ShapeError);
  EXPECT_THROW(with([](AttentionOptions& o) { o.score_y = Tensor::zeros({2, 2, 13, 10}); }), ShapeError);
  EXPECT_THROW(with([](AttentionOptions& o) {
                 o.score_y = Tensor::zeros({2, 2, 13, 10});
                 o.score_x = Tensor::zeros({2, 2, 13, 10});
               }),
               ShapeError);
  EXPECT_THROW((void)masked_attention(in.q, in.k, Tensor::zeros({2, 199, 64}), in.options), ShapeError);
}

// x [L,N,E] by rows `first`.. of the stacked weight -> [N*heads, L, E/heads].
Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias, std::int64_t first, std::int64_t heads) {
  const std::int64_t length = x.size(0), batch = x.size(1), width = x.size(2), dim = width / heads;
  Tensor out = Tensor::empty({batch * heads, length, dim});
  for (std::int64_t l = 0; l < length; ++l)
    for (std::int64_t n = 0; n < batch; ++n)
      for (std::int64_t o = 0; o < width; ++o) {
        double sum = static_cast<double>(bias.data<float>()[first + o]);
        for (std::int64_t i = 0; i < width; ++i)
          sum += static_cast<double>(x.data<float>()[(l * batch + n) * width + i]) *
                 static_cast<double>(weight.data<float>()[(first + o) * width + i]);
        out.data<float>()[((n * heads + o / dim) * length + l) * dim + o % dim] = static_cast<float>(sum);
      }
  return out;
}

Tensor joined_heads(const Tensor& x, std::int64_t heads) {  // [N*heads, L, dim] -> [L, N, E]
  const std::int64_t length = x.size(1), dim = x.size(2), batch = x.size(0) / heads;
  Tensor out = Tensor::empty({length, batch, heads * dim});
  for (std::int64_t n = 0; n < batch; ++n)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t l = 0; l < length; ++l)
        for (std::int64_t d = 0; d < dim; ++d)
          out.data<float>()[(l * batch + n) * heads * dim + h * dim + d] =
              x.data<float>()[((n * heads + h) * length + l) * dim + d];
  return out;
}

TEST(MaskedAttentionGolden, EqualsTheRecordedNumbers) {
  const test::GoldenFile golden("ops.safetensors");
  for (const std::string op : {"mha_masked", "mha_plain"}) {
    const auto in = [&](const char* name) { return golden.load(op + "/in/" + name); };
    // The recorded mask has one plane per (image, head), so every head becomes an image of its own here.
    const Tensor mask = golden.load("mha_masked/in/mask");
    const std::int64_t heads = mask.size(0) / in("q").size(1), width = in("q").size(2);
    AttentionOptions options{.heads = 1};
    if (op == "mha_masked") options.blocked = mask;
    const Tensor y = masked_attention(project(in("q"), in("in_w"), in("in_b"), 0, heads),
                                      project(in("k"), in("in_w"), in("in_b"), width, heads),
                                      project(in("v"), in("in_w"), in("in_b"), 2 * width, heads), options);
    const Tensor out = project(joined_heads(y, heads), in("out_w"), in("out_b"), 0, 1);  // [N, L, E]
    const Dims size = golden.at(op + "/out/y").full_size;
    const Tensor turned = Tensor::alias(out, size, {size[2], size[0] * size[2], 1});
    EXPECT_TRUE(golden.matches(op + "/out/y", turned)) << op;
  }
}

// Gradient of x in project(), from that of its result.
Tensor project_back(const Tensor& g, const Tensor& weight, std::int64_t first, std::int64_t heads) {
  const std::int64_t length = g.size(1), dim = g.size(2), batch = g.size(0) / heads, width = heads * dim;
  Tensor out = Tensor::empty({length, batch, width});
  for (std::int64_t l = 0; l < length; ++l)
    for (std::int64_t n = 0; n < batch; ++n)
      for (std::int64_t i = 0; i < width; ++i) {
        double sum = 0;
        for (std::int64_t o = 0; o < width; ++o)
          sum += static_cast<double>(g.data<float>()[((n * heads + o / dim) * length + l) * dim + o % dim]) *
                 static_cast<double>(weight.data<float>()[(first + o) * width + i]);
        out.data<float>()[(l * batch + n) * width + i] = static_cast<float>(sum);
      }
  return out;
}

TEST(MaskedAttentionGolden, EqualsTheRecordedGradients) {
  const test::GoldenFile golden("ops.safetensors");
  for (const std::string op : {"mha_masked", "mha_plain"}) {
    const auto in = [&](const char* name) { return golden.load(op + "/in/" + name); };
    const Tensor mask = golden.load("mha_masked/in/mask");
    const std::int64_t heads = mask.size(0) / in("q").size(1), width = in("q").size(2);
    AttentionOptions options{.heads = 1};
    if (op == "mha_masked") options.blocked = mask;
    std::vector<Tensor> inputs;
    for (std::int64_t i = 0; const char* name : {"q", "k", "v"})
      inputs.push_back(project(in(name), in("in_w"), in("in_b"), width * i++, heads));
    const Tensor up = golden.load(op + "/up/y");
    const Tensor no_bias = Tensor::zeros({width});
    const Tensor by_image = project(up, permute(in("out_w"), {1, 0}), no_bias, 0, heads);
    const auto attend = [&](std::span<const Tensor> t) { return masked_attention(t[0], t[1], t[2], options); };
    const auto got = test::gradients(attend, inputs, {true, true, true}, by_image);
    for (std::int64_t i = 0; const char* name : {"q", "k", "v"}) {
      EXPECT_TRUE(golden.matches(op + "/grad/" + name, project_back(got[i], in("in_w"), width * i, heads))) << op;
      ++i;
    }
  }
}

}  // namespace
}  // namespace visage::ops
