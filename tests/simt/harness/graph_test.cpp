// Graphs, pinned memory, and the check that nothing stalls, against the host harness.
#include "tensor/cuda/graph.h"

#include "ops/norm/layer_norm.h"
#include "simt/control.h"
#include "tensor/cuda/copy.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/pinned.h"
#include "tensor/cuda/stall.h"
#include "tensor/recorder.h"
#include "tensor/transfer.h"
#include "tests/support/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <set>

namespace visage::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Property;
using testing::Throws;

constexpr Device kCuda{DeviceType::cuda, 0};

class Graphs : public testing::TestWithParam<simt::Streams> {
 protected:
  void SetUp() override { previous_ = simt::set_streams(GetParam()); }
  void TearDown() override { simt::set_streams(previous_); }

 private:
  simt::Streams previous_;
};

__global__ void add_kernel(const float* x, float summand, float* y) { y[threadIdx.x] = x[threadIdx.x] + summand; }

/// y = x + summand, as an op would do it.
Tensor add(const Tensor& x, float summand) {
  Tensor y = Tensor::empty(x.size(), DType::f32, kCuda);
  launch<add_kernel>({1, static_cast<unsigned>(x.numel()), 0, current_stream()}, x.data<const float>(), summand,
                     y.data<float>());
  return y;
}

Tensor filled(float value) { return to_device(Tensor::from({4}, std::vector<float>(4, value).data()), kCuda); }
void fill(const Tensor& x, float value) {
  check(cudaMemcpyAsync(x.data<float>(), std::vector<float>(4, value).data(), x.nbytes(), cudaMemcpyHostToDevice,
                        static_cast<cudaStream_t>(current_stream().raw)),
        "cudaMemcpyAsync");
}
std::vector<double> all(double value) { return std::vector<double>(4, value); }
std::vector<double> host(const Tensor& x) { return test::values_of(to_device(x, {})); }

TEST_P(Graphs, RefuseARecorderWhoseClockWouldNotRun) {
  const Tensor x = filled(1);
  EXPECT_THAT([&] { const Graph graph([&] { const Recorder recorder(kCuda); }); },
              Throws<UsageError>(Property(&UsageError::what, HasSubstr("before the capture of a graph"))));
  EXPECT_EQ(Recorder::current(), nullptr);
  Recorder recorder(kCuda);
  const Graph graph([&] {
    const OpScope op("captured");
    (void)add(x, 1);
  });
  EXPECT_EQ(recorder.spans().at(0).seconds, 0);
}

TEST_P(Graphs, ReplayTheirWorkOnNewInputs) {
  const Tensor x = filled(1);
  Tensor y;
  const Graph graph([&] { y = add(add(x, 10), 100); });
  EXPECT_EQ(graph.node_count(), 2u);
  EXPECT_TRUE(simt::is_undefined(static_cast<float>(host(y)[0])));  // nothing has run
  graph.launch();
  EXPECT_EQ(host(y), all(111));
  for (const float value : {2.f, 3.f}) {
    fill(x, value);
    graph.launch();
    EXPECT_EQ(host(y), all(value + 110));
  }
}

TEST_P(Graphs, KeepTheMemoryOfTheirTemporaries) {
  const Tensor x = filled(1);
  Tensor y;
  const MemoryStatistics before = memory_statistics(0);
  {
    void* temporary = nullptr;
    const Graph graph([&] {
      const Tensor between = add(x, 1);
      temporary = between.data<float>();
      y = add(between, 1);
    });
    EXPECT_GT(memory_statistics(0).pooled, before.pooled);
    std::vector<Tensor> others;
    for (int i = 0; i < 8; ++i) {
      others.push_back(filled(50));
      EXPECT_NE(others.back().data<float>(), temporary);
    }
    release_cache(0);  // takes nothing from a graph
    graph.launch();
    EXPECT_EQ(host(y), all(3));
    for (const Tensor& other : others) EXPECT_EQ(host(other), all(50));
  }
  EXPECT_EQ(memory_statistics(0).pooled, before.pooled);
  EXPECT_EQ(host(y), all(3));  // outlives its graph
  y = {};
  EXPECT_EQ(memory_statistics(0).in_use, before.in_use);
}

TEST_P(Graphs, ReuseATemporaryWithinThemselves) {
  const Tensor x = filled(1);
  Tensor y;
  std::set<void*> addresses;
  const Graph graph([&] {
    y = x;
    for (int i = 0; i < 10; ++i) {
      y = add(y, 1);
      addresses.insert(y.data<float>());
    }
  });
  EXPECT_EQ(addresses.size(), 2u);
  graph.launch();
  EXPECT_EQ(host(y), all(11));
}

TEST_P(Graphs, TakeInAnotherStreamThatJoinsAgain) {
  const Tensor x = filled(1);
  const Stream side;
  Event forked, joined;
  Tensor a, b, sum;
  const Graph graph([&] {
    const StreamHandle main = current_stream();
    EXPECT_TRUE(is_capturing(main));
    forked.record(main);
    forked.make_wait(side.handle());
    {
      const StreamScope scope(side.handle());
      EXPECT_TRUE(is_capturing(side.handle()));
      a = add(x, 10);
    }
    b = add(x, 20);
    joined.record(side.handle());
    joined.make_wait(main);
    sum = add(a, 5);
  });
  EXPECT_FALSE(is_capturing(side.handle()));
  EXPECT_EQ(graph.node_count(), 3u);
  graph.launch();
  EXPECT_EQ(host(sum), all(16));
  EXPECT_EQ(host(b), all(21));
}

TEST_P(Graphs, HoldCopiesFromAndToPinnedMemory) {
  const Tensor in = empty_pinned({4}), out = empty_pinned({4});
  const Tensor x = filled(0);
  const Graph graph([&] {
    copy_async(in, x);
    copy_async(add(x, 1), out);
  });
  EXPECT_EQ(graph.node_count(), 3u);
  Event done;
  for (const float value : {1.f, 7.f}) {
    std::fill_n(in.data<float>(), 4, value);
    const NoStallScope scope("replay");
    graph.launch();
    done.record(current_stream());
    done.synchronize();
    EXPECT_EQ(test::values_of(out), all(value + 1));
  }
}

TEST_P(Graphs, GiveTheSameAsTheOpItself) {
  const Tensor x = to_device(test::random_normal({5, 12}, 1), kCuda);
  const Tensor weight = to_device(test::random_normal({12}, 2), kCuda),
               bias = to_device(test::random_normal({12}, 3), kCuda);
  Tensor y;
  const Graph graph([&] { y = ops::layer_norm(x, weight, bias); });
  graph.launch();
  EXPECT_EQ(host(y), host(ops::layer_norm(x, weight, bias)));
}

INSTANTIATE_TEST_SUITE_P(Streams, Graphs, testing::Values(simt::Streams::eager, simt::Streams::lazy));

/// Expects that `work` cannot be captured, and that the next capture is not harmed by that.
void expect_refused(const std::function<void()>& work, const char* why) {
  EXPECT_THAT(
      [&] { const Graph graph(work); },
      Throws<CudaError>(Property(&CudaError::what, AllOf(HasSubstr("the work cannot be captured"), HasSubstr(why)))));
  const Tensor x = filled(1);
  Tensor y;
  const Graph graph([&] { y = add(x, 1); });
  graph.launch();
  EXPECT_EQ(host(y), all(2));
}

TEST(GraphFaults, WaitingForTheDevice) {
  const Tensor x = filled(1);
  expect_refused([&] { synchronize(current_stream()); }, "cudaStreamSynchronize: cudaErrorStreamCaptureUnsupported");
  expect_refused([&] { check(cudaDeviceSynchronize(), "all"); }, "all: cudaErrorStreamCaptureUnsupported");
  expect_refused([&] { static_cast<void>(to_device(add(x, 1), {})); }, "between host and device inside a graph");
  Event event;
  const auto wait_for_event = [&] {
    event.record(current_stream());
    event.synchronize();
  };
  expect_refused(wait_for_event, "cudaErrorCapturedEvent");
}

TEST(GraphFaults, AskingTheDriverForMemory) {
  void* data = nullptr;
  const auto allocate = [&] { check(cudaMalloc(&data, 100), "cudaMalloc"); };
  // From a pool it is allowed, but only there.
  expect_refused(allocate, "cudaMalloc: cudaErrorStreamCaptureUnsupported");
  expect_refused([] { static_cast<void>(empty_pinned({4})); }, "cudaMallocHost: cudaErrorStreamCaptureUnsupported");
}

TEST(GraphFaults, AnIgnoredErrorStillSpoilsTheCapture) {
  expect_refused([] { static_cast<void>(cudaDeviceSynchronize()); }, "cudaErrorStreamCaptureInvalidated");
}

TEST(GraphFaults, AStreamThatNeverJoins) {
  const Tensor x = filled(1);
  const Stream side;
  Event forked;
  const auto fork = [&] {
    forked.record(current_stream());
    forked.make_wait(side.handle());
    const StreamScope scope(side.handle());
    static_cast<void>(add(x, 1));
  };
  expect_refused(fork, "cudaErrorStreamCaptureUnjoined");
}

TEST(GraphFaults, AnEventFromOutside) {
  Event before;
  before.record(current_stream());
  expect_refused([&] { before.make_wait(current_stream()); }, "cudaErrorStreamCaptureIsolation");
}

TEST(GraphFaults, AnExceptionLeavesNoCaptureBehind) {
  EXPECT_THROW(Graph([] { throw std::runtime_error("no"); }), std::runtime_error);
  expect_refused([] { synchronize(current_stream()); }, "Unsupported");
}

TEST(GraphFaultsDeathTest, AnInputThatIsGone) {
  auto x = std::make_unique<Tensor>(filled(1));
  Tensor y;
  const Graph graph([&] { y = add(*x, 1); });
  x.reset();
  release_cache(0);
  EXPECT_DEATH((graph.launch(), synchronize(current_stream())),
               "add_kernel: pointer argument 0 .* is not device memory");
}

TEST(Pinned, CopiesAreNotWaitedFor) {
  const simt::Streams previous = simt::set_streams(simt::Streams::lazy);
  const Tensor in = empty_pinned({4}), out = empty_pinned({4});
  EXPECT_TRUE(in.device() == Device{});
  std::fill_n(in.data<float>(), 4, 3.f);
  const Tensor x = filled(0);
  copy_async(in, x);
  copy_async(x, out);
  EXPECT_TRUE(simt::is_undefined(out.data<float>()[0]));
  Event done;
  done.record(current_stream());
  done.synchronize();
  EXPECT_EQ(test::values_of(out), all(3));
  simt::set_streams(previous);
}

TEST(Pinned, RefusesWhatWouldNotBeAsynchronous) {
  const Tensor x = filled(0);
  EXPECT_THAT([&] { copy_async(Tensor::zeros({4}), x); },
              Throws<DeviceError>(Property(&Error::what, HasSubstr("from lies in pageable memory"))));
  EXPECT_THROW(copy_async(empty_pinned({4}), empty_pinned({4})), DeviceError);
  EXPECT_THROW(copy_async(empty_pinned({5}), x), ShapeError);
  EXPECT_THROW(copy_async(empty_pinned({4}, DType::i32), x), DTypeError);
  EXPECT_EQ(empty_pinned({0, 3}).numel(), 0);
}

TEST(NoStall, NamesTheScopeAndTheCall) {
  const auto in_scope = [](const std::function<void()>& work) {
    return [work] {
      const NoStallScope scope("the frame");
      work();
    };
  };
  EXPECT_THAT(in_scope([] { synchronize(current_stream()); }),
              Throws<CudaError>(Property(&Error::what, HasSubstr("cudaStreamSynchronize: stalls the GPU where it must "
                                                                 "not wait (the frame)"))));
  release_cache(0);
  EXPECT_THAT(in_scope([] { static_cast<void>(Tensor::empty({3 << 20}, DType::f32, kCuda)); }),
              Throws<CudaError>(Property(&Error::what, HasSubstr("cudaMalloc: stalls"))));
  EXPECT_THROW(in_scope([] { static_cast<void>(empty_pinned({4})); })(), CudaError);
  EXPECT_NO_THROW(synchronize(current_stream()));
  const Tensor x = filled(1);
  EXPECT_THROW(in_scope([&] { copy_into(x, Tensor::zeros({4})); })(), CudaError);
  EXPECT_NO_THROW(in_scope([&] { copy_async(x, x); })());
}

}  // namespace
}  // namespace visage::cuda
