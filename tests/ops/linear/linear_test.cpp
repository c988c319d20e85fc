#include "ops/linear/linear.h"

#include "nn/init/test_weights.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/views.h"
#include "tensor/cpu/onednn.h"
#include "tests/support/allclose.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace visage {
namespace {

Tensor noise(const Dims& size, const char* name) {
  Tensor t = Tensor::empty(size);
  const nn::HashStream stream(name);
  for (std::int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = stream.symmetric(i);
  return t;
}

// x w^T + b with rows of any pitch, in double.
Tensor reference(const Tensor& x, const Tensor& w, const Tensor& b) {
  const std::int64_t rows = x.numel() / x.size(-1), k = w.size(1), n = w.size(0);
  const Tensor dense = ops::permute(x, x.rank() == 3 ? Dims{0, 1, 2} : Dims{0, 1});
  Dims size = x.size();
  size[-1] = n;
  Tensor y = Tensor::empty(size);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < n; ++c) {
      double sum = b ? b.data<float>()[c] : 0;
      for (std::int64_t i = 0; i < k; ++i)
        sum += static_cast<double>(dense.data<float>()[r * k + i]) * w.data<float>()[c * k + i];
      y.data<float>()[r * n + c] = static_cast<float>(sum);
    }
  return y;
}

TEST(LinearGolden, Forward) {
  const test::GoldenFile golden("ops.safetensors");
  EXPECT_TRUE(golden.matches("linear/out/y", ops::linear(golden.load("linear/in/x"), golden.load("linear/in/weight"),
                                                         golden.load("linear/in/bias"))));
}

TEST(Linear, ReadsWindowsOfAWiderBuffer) {
  const Tensor wide = noise({3, 20, 48}, "wide"), w = noise({24, 16}, "w"), b = noise({24}, "b");
  const Tensor columns = ops::narrow(wide, 2, 16, 16);
  EXPECT_TRUE(test::allclose(ops::linear(columns, w, b), reference(columns, w, b), {.reduced = 16}));
  const Tensor tokens = ops::narrow(columns, 1, 5, 9);  // the images of the batch no longer have one pitch
  EXPECT_TRUE(test::allclose(ops::linear(tokens, w, b), reference(tokens, w, b), {.reduced = 16}));
}

TEST(Linear, AddsOntoTheResidual) {
  const Tensor x = noise({4, 6, 32}, "x"), w = noise({16, 32}, "w"), y = noise({4, 6, 16}, "y");
  const Tensor want = ops::add(reference(x, w, {}), y);
  EXPECT_TRUE(test::allclose(ops::linear(x, w, {}, {.accumulate_into = y}), want, {.reduced = 32}));
}

TEST(Linear, MultipliesBatches) {
  const Tensor a = noise({3, 7, 20}, "a"), b = noise({3, 11, 20}, "b");
  const Tensor y = ops::matmul_nt(a, b);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto item = [&](const Tensor& t) { return ops::reshape(ops::narrow(t, 0, i, 1), {t.size(1), t.size(2)}); };
    EXPECT_TRUE(test::allclose(item(y), reference(item(a), item(b), {}), {.reduced = 20}));
  }
}

TEST(Linear, NeverRunsTheReferenceImplementation) {
  for (const auto& [rows, in, out] :
       {std::array{6480, 256, 544}, std::array{6480, 256, 1024}, std::array{100, 256, 2048}, std::array{100, 2048, 256},
        std::array{405, 2048, 512}}) {
    const std::string chosen = cpu::onednn::implementation(cpu::onednn::Linear{
        Tensor::empty({rows, in}), Tensor::empty({out, in}), Tensor::empty({out}), Tensor::empty({rows, out})});
    EXPECT_EQ(chosen.find("ref"), std::string::npos) << chosen;
  }
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Tensor x = Tensor::zeros({2, 8});
  EXPECT_THROW((void)ops::linear(x, Tensor::zeros({4, 7}), {}), ShapeError);
  EXPECT_THROW((void)ops::linear(x, Tensor::zeros({4, 8}), Tensor::zeros({5})), ShapeError);
  EXPECT_THROW((void)ops::matmul_nt(Tensor::zeros({1, 2, 3}), Tensor::zeros({1, 2, 4})), ShapeError);
}

}  // namespace
}  // namespace visage
