// Products and convolutions in a captured graph: they read the rounded weights that an earlier run left, and go where
// the stream goes.
#include "ops/conv/conv2d.h"
#include "ops/linear/linear.h"
#include "simt/control.h"
#include "tensor/allocator.h"
#include "tensor/cuda/error.h"
#include "tensor/cuda/graph.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

namespace visage::cuda {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

Tensor on_gpu(const Dims& size, std::uint64_t seed, DType dtype = DType::f32) {
  return to_device(test::random_normal(size, seed, dtype), kCuda);
}
std::vector<double> host(const Tensor& x) { return test::values_of(to_device(x, {})); }

class ProductGraphs : public testing::TestWithParam<simt::Streams> {
 protected:
  void SetUp() override { previous_ = simt::set_streams(GetParam()); }
  void TearDown() override { simt::set_streams(previous_); }

 private:
  simt::Streams previous_;
};

TEST_P(ProductGraphs, ReadTheWeightsRoundedBefore) {
  const Tensor x = on_gpu({1, 3, 4, 8}, 1, DType::bf16), next = on_gpu({1, 3, 4, 8}, 2, DType::bf16);
  const Tensor kernels = on_gpu({8, 1, 1, 8}, 3), weight = on_gpu({5, 8}, 4), bias = on_gpu({5}, 5);
  const auto work = [&](const Tensor& from) {
    const Tensor maps = ops::conv2d(from, kernels, {}, {.dtype = DType::bf16});
    return ops::linear(maps, weight, bias, {.activation = Activation::relu, .dtype = DType::bf16});
  };
  const std::vector<double> want = host(work(next));
  Tensor y;
  const Graph graph([&] { y = work(x); });
  EXPECT_EQ(graph.node_count(), 2u);  // the convolution and the product
  check(cudaMemcpyAsync(x.view().data, next.view().data, x.nbytes(), cudaMemcpyDeviceToDevice,
                        static_cast<cudaStream_t>(current_stream().raw)),
        "cudaMemcpyAsync");
  graph.launch();
  EXPECT_EQ(host(y), want);
}

TEST_P(ProductGraphs, RoundForThemselvesWhatNoRunLeft) {
  const Tensor x = on_gpu({6, 8}, 1, DType::bf16), weight = on_gpu({5, 8}, 2);
  Tensor y;
  const Graph graph([&] { y = ops::linear(x, weight, {}); });
  EXPECT_EQ(graph.node_count(), 2u);  // the rounding and the product
  const std::vector<double> want = host(ops::linear(x, weight, {}));
  graph.launch();
  EXPECT_EQ(host(y), want);
}

TEST_P(ProductGraphs, OtherStreamsWaitForTheRounding) {
  const Tensor x = on_gpu({6, 8}, 1, DType::bf16), weight = on_gpu({5, 8}, 2), before = on_gpu({5, 8}, 3);
  // Forgets copies of the tests before, which would wait for everything.
  (void)ops::linear(x, before, {});
  synchronize(current_stream());
  const Tensor first = ops::linear(x, weight, {});
  Tensor second;
  const Stream other;
  {
    const StreamScope scope(other.handle());
    second = ops::linear(x, weight, {});
  }
  other.synchronize();
  std::vector<float> got(30);
  check(cudaMemcpy(got.data(), second.data<float>(), second.nbytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  EXPECT_EQ(std::vector<double>(got.begin(), got.end()), host(first));
}

TEST_P(ProductGraphs, KeepNothingOfARoundingThatWasRefused) {
  const Tensor x = on_gpu({6, 8}, 1, DType::bf16), weight = Tensor::zeros({5, 8}, DType::f32, kCuda);
  ASSERT_EQ(weight.storage()->version(), 0u);
  simt::refuse_launch_after(0);  // the rounding
  EXPECT_THROW((void)ops::linear(x, weight, {}), CudaError);
  (void)cudaGetLastError();
  EXPECT_EQ(host(ops::linear(x, weight, {})), std::vector<double>(30, 0.));
}

TEST_P(ProductGraphs, GiveBackTheCopiesOfWeightsThatAreGone) {
  const Tensor x = on_gpu({6, 512}, 1, DType::bf16), kept = on_gpu({5, 512}, 2);
  const auto use = [&](const Tensor& weight) { (void)ops::linear(x, weight, {}); };
  use(kept);
  for (int i = 0; i < 200; ++i) {
    kept.storage()->bump_version();
    use(kept);
  }  // what earlier tests left is released
  const std::size_t before = bytes_in_use(kCuda);
  use(on_gpu({512, 512}, 3));
  EXPECT_GT(bytes_in_use(kCuda), before);
  for (int i = 0; i < 200; ++i) {
    kept.storage()->bump_version();
    use(kept);
  }
  EXPECT_EQ(bytes_in_use(kCuda), before);
}

#if defined(SIMT_MSAN)
TEST(ProductsDeathTest, OfWhatNobodyHasWritten) {
  const Tensor x = Tensor::empty({6, 8}, DType::f32, kCuda), weight = on_gpu({5, 8}, 2);
  EXPECT_DEATH(host(ops::linear(x, weight, {})), "use-of-uninitialized-value(.*\n)*.*cublas.cpp");
}
#endif

INSTANTIATE_TEST_SUITE_P(Streams, ProductGraphs, testing::Values(simt::Streams::eager, simt::Streams::lazy),
                         [](const auto& mode) { return mode.param == simt::Streams::eager ? "Eager" : "Lazy"; });

}  // namespace
}  // namespace visage::cuda
