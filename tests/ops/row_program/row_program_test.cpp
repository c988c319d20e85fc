#include "ops/row_program/row_program.h"

#include "autograd/tape.h"
#include "ops/attention/attention_mask.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "ops/norm/layer_norm.h"
#include "ops/shape/views.h"
#include "tensor/error.h"
#include "tests/support/allclose.h"
#include "tests/support/devices.h"
#include "tests/support/same_on_devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>

namespace visage::ops {
namespace {

using test::random_normal;

Tensor weights(std::int64_t out, std::int64_t in, std::uint64_t seed) {
  return random_normal({out, in}, seed, DType::f32, 0, 1 / std::sqrt(static_cast<double>(in)));
}

struct Case {
  std::int64_t images, queries, in, out;
  DType dtype = DType::f32;
};

/// Whole tiles and units, one row, tails of rows, columns and depth, few columns, rows that are no packets.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : {Case{1, 16, 64, 64}, Case{1, 1, 32, 32}, Case{2, 11, 40, 41}, Case{1, 9, 24, 1},
                          Case{3, 3, 13, 7}, Case{1, 5, 8, 70}, Case{1, 8, 300, 3}})
      all.push_back({c.images, c.queries, c.in, c.out, dtype});
  return all;
}

std::string name(const Case& c) {
  return testing::PrintToString(std::vector{c.images, c.queries, c.in, c.out}) + " " + name_of(c.dtype);
}

RowProgram program_for(const Tensor& x) { return {x.device(), x.size(0), x.size(1)}; }

TEST(RowProgram, LinearMapsAreTheSameOnEveryDevice) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(name(c));
    for (const bool relu : {false, true}) {
      const auto fn = [&](const std::vector<Tensor>& in) {
        RowProgram program = program_for(in[0]);
        const auto x = program.load(in[0]);
        program.branch();
        const Tensor plain = program.store(program.linear(x, in[1], in[2], {.relu = relu, .dtype = c.dtype}));
        program.branch();
        const auto constant = program.linear(x, in[1], in[3], {.dtype = c.dtype});
        const Tensor rounded = program.store(program.linear(constant, in[4], {}), DType::bf16);
        program.run();
        return std::vector{plain, test::converted(rounded, DType::f32)};
      };
      const std::vector<Tensor> in{random_normal({c.images, c.queries, c.in}, 1), weights(c.out, c.in, 2),
                                   random_normal({c.out}, 3), random_normal({c.queries, c.out}, 4),
                                   weights(5, c.out, 5)};
      EXPECT_TRUE(test::same_on_devices(fn, in, {.output_tolerance = 4e-3}));
      if (c.dtype == DType::bf16) continue;
      EXPECT_TRUE(test::same_on_devices([&](const auto& i) { return std::vector{fn(i)[0]}; }, in));
    }
  }
}

// A program of bf16 products alone takes sixteen rows a block.
TEST(RowProgram, Bf16ProgramsAreTheSameOnEveryDevice) {
  for (const auto& [queries, channels, out] : {std::tuple{16, 64, 64}, {17, 40, 41}, {9, 13, 70}, {1, 32, 2}}) {
    SCOPED_TRACE(testing::Message() << queries << ", " << channels << ", " << out);
    const auto fn = [&](const std::vector<Tensor>& in) {
      RowProgram program = program_for(in[0]);
      const auto x = program.load(in[0]);
      const auto y = program.linear(x, in[1], in[2], {.relu = true, .dtype = DType::bf16});
      const auto z = program.layer_norm(x, in[3], in[4]);
      const Tensor normed = program.store(z), beside = program.store(program.load_beside(std::vector{in[0], in[0]}));
      program.branch();
      const Tensor direct = program.store(program.linear(z, in[1], in[5], {.dtype = DType::bf16}));
      program.branch();
      const Tensor shared = program.store(y);
      program.run();
      return std::vector{normed, beside, direct, shared};
    };
    EXPECT_TRUE(test::same_on_devices(
        fn,
        {random_normal({2, queries, channels}, 1), weights(out, channels, 2), random_normal({out}, 3),
         random_normal({channels}, 4), random_normal({channels}, 5), random_normal({queries, out}, 6)},
        {.output_tolerance = 4e-3}));
  }
}

TEST(RowProgram, NormsOfSumsAreTheSameOnEveryDevice) {
  for (const std::int64_t columns : {64, 41, 3}) {
    SCOPED_TRACE(columns);
    const auto fn = [&](const std::vector<Tensor>& in) {
      RowProgram program = program_for(in[0]);
      const auto sum = program.load_sum(in[1]);
      const auto x = program.add_layer_norm(sum, program.load(in[0]), in[2], in[3]);
      const Tensor stored = program.store(x);
      const Tensor again = program.store(program.layer_norm(x, in[3], in[2]));
      program.run();
      return std::vector{stored, again};
    };
    for (const std::int64_t parts : {1, 5})
      EXPECT_TRUE(
          test::same_on_devices(fn, {random_normal({2, 5, columns}, 1), random_normal({parts, 2, 5, columns}, 2),
                                     random_normal({columns}, 3), random_normal({columns}, 4)}));
  }
}

TEST(RowProgram, LoadsRowsOfEveryKind) {
  const auto fn = [](const std::vector<Tensor>& in) {
    RowProgram program(in[0].device(), 3, 5);
    const Tensor repeated = program.store(program.load(in[0]));
    const Tensor beside = program.store(program.load_beside(std::vector{in[1], in[2], in[1]}));
    program.run();
    return std::vector{repeated, beside};
  };
  for (const std::int64_t width : {8, 6})
    EXPECT_TRUE(test::same_on_devices(
        fn, {random_normal({5, 24}, 1), random_normal({3, 5, width}, 2), random_normal({3, 5, 3}, 3)},
        {.output_tolerance = 0}));
  test::for_each_device([](Device device) {
    const Tensor x = test::on(random_normal({2, 3, 12}, 1, DType::bf16), device);
    RowProgram program = program_for(x);
    const Tensor kept = program.store(program.load(x), DType::bf16);
    program.run();
    EXPECT_EQ(test::values_of(kept), test::values_of(x));
  });
}

TEST(RowProgram, CombinesTheSplitsOfAnAttention) {
  for (const auto& [heads, width, keys] : {std::tuple{2, 32, 600}, {1, 32, 64}, {3, 5, 300}}) {
    SCOPED_TRACE(testing::Message() << heads << " x " << width << ", " << keys);
    const auto fn = [&, h = heads](const std::vector<Tensor>& in) {
      const AttentionParts parts = masked_attention_parts(in[0], in[1], in[2], {.heads = h, .allowed = in[3]});
      RowProgram program = program_for(in[0]);
      const Tensor combined = program.store(program.load(parts));
      program.run();
      return std::vector{combined};
    };
    const std::int64_t channels = heads * width;
    const Tensor logits = random_normal({2, 11, keys}, 4);
    for (std::int64_t key = 0; key < keys; ++key) {
      logits.data<float>()[key] = -1;                           // sees nothing, so everything
      logits.data<float>()[keys + key] = key < 500 ? -1.f : 1;  // nothing in the first splits
    }
    EXPECT_TRUE(
        test::same_on_devices(fn, {random_normal({2, 11, channels}, 1), random_normal({2, keys, channels}, 2),
                                   random_normal({2, keys, channels}, 3), mask_bits(logits, MaskBit::visible)}));
  }
}

TEST(RowProgram, HeadProductsAreTheSameOnEveryDevice) {
  for (const auto& [heads, width, count] : {std::tuple{8, 32, 27}, {2, 16, 64}, {3, 5, 1}, {1, 8, 33}}) {
    SCOPED_TRACE(testing::Message() << heads << " x " << width << ", " << count);
    const auto fn = [&, h = heads](const std::vector<Tensor>& in) {
      RowProgram program = program_for(in[0]);
      const auto q = program.linear(program.load(in[0]), in[1], {});
      const Tensor stored = program.store(q), products = program.head_products(q, in[2], h);
      program.run();
      return std::vector{stored, products};
    };
    const std::int64_t channels = heads * width;
    EXPECT_TRUE(test::same_on_devices(
        fn, {random_normal({2, 7, 12}, 1), weights(channels, 12, 2), random_normal({count, channels}, 3)}));
  }
}

TEST(RowProgram, FeedForwardPartsAddUpOnEveryDevice) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const std::int64_t hidden : {48, 520, 1030}) {
      SCOPED_TRACE(testing::Message() << hidden << " " << name_of(dtype));
      const auto fn = [&](const std::vector<Tensor>& in) {
        RowProgram program = program_for(in[0]);
        const auto x = program.load(in[0]);
        const Tensor stored = program.store(x);
        const Tensor parts = program.feed_forward(x, in[1], in[2], in[3], in[4], dtype);
        program.run();
        RowProgram adder = program_for(in[0]);
        const Tensor sum = adder.store(adder.load_sum(parts));
        adder.run();
        return std::vector{stored, sum};
      };
      EXPECT_TRUE(test::same_on_devices(fn,
                                        {random_normal({1, 10, 24}, 1), weights(hidden, 24, 2),
                                         random_normal({hidden}, 3), weights(24, hidden, 4), random_normal({24}, 5)},
                                        {.output_tolerance = dtype == DType::f32 ? 1e-5 : 4e-3}));
    }
}

/// What the CPU does is for other tests; that a program is what its steps say, for this one.
TEST(RowProgram, IsTheChainOfItsOps) {
  const Tensor x = random_normal({2, 3, 16}, 1), w1 = weights(20, 16, 2), b1 = random_normal({20}, 3);
  const Tensor w2 = weights(16, 20, 4), b2 = random_normal({16}, 5), gain = random_normal({16}, 6);
  RowProgram program = program_for(x);
  const auto h = program.linear(program.load(x), w1, b1, {.relu = true});
  const Tensor y = program.store(program.add_layer_norm(program.load(x), program.linear(h, w2, b2), gain, b2));
  program.run();
  const Tensor expected =
      add_layer_norm(x, linear(linear(x, w1, b1, {.activation = Activation::relu}), w2, b2), gain, b2);
  EXPECT_TRUE(test::allclose(y, expected));
}

TEST(RowProgram, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({2, 3, 8}), w = Tensor::zeros({4, 8}), b = Tensor::zeros({4});
  RowProgram program = program_for(x);
  const auto rows = program.load(x);
  EXPECT_THROW((void)program.load(Tensor::zeros({2, 4, 8})), ShapeError);
  EXPECT_THROW((void)program.load(Tensor::zeros({2, 3, 8}, DType::i32)), DTypeError);
  EXPECT_THROW((void)program.load(Tensor::alias(x, {2, 3, 8}, {24, 0, 1})), ShapeError);
  EXPECT_THROW((void)program.load_sum(x), ShapeError);
  EXPECT_THROW((void)program.linear(rows, Tensor::zeros({4, 7}), b), ShapeError);
  EXPECT_THROW((void)program.linear(rows, w, Tensor::zeros({2, 4})), ShapeError);
  EXPECT_THROW((void)program.linear(rows, Tensor::zeros({4, 8}, DType::bf16), b), DTypeError);
  EXPECT_THROW((void)program.layer_norm(rows, b, b), ShapeError);
  EXPECT_THROW((void)program.head_products(rows, w, 3), ShapeError);
  program.branch();
  const auto own = program.linear(rows, w, b);
  EXPECT_THROW((void)program.feed_forward(rows, Tensor::zeros({9, 8}), Tensor::zeros({9}), Tensor::zeros({8, 9}),
                                          Tensor::zeros({8})),
               UsageError);
  program.branch();
  EXPECT_THROW((void)program.store(own), UsageError);
  test::for_each_device([&](Device device) {
    if (device.type == DeviceType::cpu) return;
    RowProgram endless(device, 2, 3);
    const Tensor there = test::on(x, device);
    EXPECT_THROW(for (int i = 0; i <= row_program_detail::kMostSteps; ++i) static_cast<void>(endless.load(there)),
                 UsageError);
  });
  autograd::Tape tape;
  const Tensor weight = Tensor::zeros({4, 8});
  autograd::set_requires_grad(weight, true);
  EXPECT_THROW((void)program.linear(rows, weight, b), AutogradError);
}

}  // namespace
}  // namespace visage::ops
