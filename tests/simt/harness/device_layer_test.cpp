// The device layer (tensor/cuda/) against the host harness: allocator, streams, events, copies.
#include "ops/dispatch.h"
#include "simt/control.h"
#include "tensor/cuda/allocator.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/range.h"
#include "tensor/cuda/stream.h"
#include "tensor/stage_timer.h"
#include "tensor/transfer.h"
#include "tests/support/devices.h"
#include "tests/support/values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string_view>

namespace visage::cuda {
namespace {

constexpr Device kCuda{DeviceType::cuda, 0};

bool caching() { return std::string_view(std::getenv("VISAGE_CUDA_CACHE")) != "0"; }

TEST(CudaDevice, IsCountedAndNamed) {
  EXPECT_EQ(device_count(), 1);
  EXPECT_EQ(why_no_device(), "");
  EXPECT_TRUE(parse_device("auto") == kCuda);
  EXPECT_TRUE(parse_device("cuda:0") == kCuda);
  EXPECT_THROW(parse_device("cuda:1"), UsageError);
  EXPECT_THROW(allocator(1), DeviceError);
  EXPECT_THROW(set_device(3), CudaError);
}

TEST(CudaAllocator, ReusesAReleasedBlockOfTheSameStreamOnly) {
  if (!caching()) GTEST_SKIP() << "run with VISAGE_CUDA_CACHE=1";
  Allocator& memory = allocator(0);
  void* const first = memory.allocate(1000);
  memory.release(first, 1000);
  const Stream other;
  {
    const StreamScope scope(other.handle());
    void* const foreign = memory.allocate(1000);
    EXPECT_NE(foreign, first);
    memory.release(foreign, 1000);
  }
  const MemoryStatistics before = memory_statistics(0);
  void* const again = memory.allocate(900);  // the same size class
  EXPECT_EQ(again, first);
  EXPECT_EQ(memory_statistics(0).driver_calls, before.driver_calls);
  EXPECT_EQ(memory_statistics(0).in_use, before.in_use + 1024);
  EXPECT_EQ(memory_statistics(0).cached, before.cached - 1024);
  memory.release(again, 900);
}

TEST(CudaAllocator, CountsWhatIsInUse) {
  const MemoryStatistics before = memory_statistics(0);
  {
    const Tensor tensor = Tensor::empty({1 << 20}, DType::u8, kCuda);
    const MemoryStatistics now = memory_statistics(0);
    EXPECT_EQ(now.in_use, before.in_use + (1 << 20));
    EXPECT_GE(now.peak_in_use, now.in_use);
    EXPECT_EQ(now.requests, before.requests + 1);
  }
  EXPECT_EQ(memory_statistics(0).in_use, before.in_use);
  release_cache(0);
  EXPECT_EQ(memory_statistics(0).cached, 0);
  EXPECT_EQ(simt::memory_in_use(), static_cast<std::size_t>(before.in_use));
}

TEST(CudaAllocator, GivesUpItsCacheBeforeItFails) {
  release_cache(0);
  simt::set_memory_limit(simt::memory_in_use() + (64 << 20));
  static_cast<void>(Tensor::empty({40 << 20}, DType::u8, kCuda));  // cached or freed
  EXPECT_NO_THROW(static_cast<void>(Tensor::empty({48 << 20}, DType::u8, kCuda)));
  try {
    static_cast<void>(Tensor::empty({80 << 20}, DType::u8, kCuda));
    ADD_FAILURE() << "80 MiB were had from 64";
  } catch (const CudaError& error) {
    EXPECT_NE(std::string_view(error.what()).find("out of memory: cannot allocate"), std::string_view::npos);
  }
  EXPECT_NO_THROW(static_cast<void>(Tensor::empty({10}, DType::u8, kCuda)));
  simt::set_memory_limit(std::size_t{8} << 30);
  release_cache(0);
}

TEST(CudaStreams, TheScopeDecides) {
  const StreamHandle main = current_stream();
  EXPECT_NE(main.raw, nullptr);  // never the legacy default stream
  const Stream own;
  {
    const StreamScope outer(own.handle());
    EXPECT_EQ(current_stream().raw, own.handle().raw);
    const Stream inner_stream;
    {
      const StreamScope inner(inner_stream.handle());
      EXPECT_EQ(current_stream().raw, inner_stream.handle().raw);
    }
    EXPECT_EQ(current_stream().raw, own.handle().raw);
  }
  EXPECT_EQ(current_stream().raw, main.raw);
}

TEST(CudaStreams, EventsMeasureTime) {
  Event start(Event::Timing::on), stop(Event::Timing::on);
  start.record(current_stream());
  stop.record(current_stream());
  stop.synchronize();
  EXPECT_GE(stop.milliseconds_since(start), 0.f);
}

TEST(CudaCopy, ARoundTripKeepsEveryBit) {
  for (const simt::Streams mode : {simt::Streams::eager, simt::Streams::lazy}) {
    const simt::Streams previous = simt::set_streams(mode);
    for (const DType dtype : {DType::f32, DType::bf16, DType::i64, DType::u8}) {
      const Tensor x = test::converted(test::random_normal({7, 13}, 1, DType::f32, 50, 20), dtype);
      const Tensor there = to_device(x, kCuda);
      EXPECT_TRUE(there.device() == kCuda);
      const Tensor twice = Tensor::empty(there.size(), there.dtype(), kCuda);
      copy_into(twice, there);
      const Tensor back = to_device(twice, {});
      EXPECT_EQ(test::values_of(back), test::values_of(x));
    }
    EXPECT_EQ(test::values_of(Tensor::zeros({100}, DType::f32, kCuda)), std::vector<double>(100, 0.));
    simt::set_streams(previous);
  }
  EXPECT_EQ(to_device(Tensor::empty({0, 3}), kCuda).numel(), 0);
  EXPECT_THROW((void)to_device(Tensor::alias(Tensor::zeros({2, 2}), {2, 2}, {1, 2}), kCuda), ShapeError);
}

TEST(CudaRanges, StagesAndOpsAreShownToAProfiler) {
  const auto work = [] {
    const StageTimer stage("encoder");
    ops::on_device(
        kCuda, [] {}, [](StreamHandle) {});
    const Range range("rest");
  };
  simt::take_ranges();
  work();
  EXPECT_EQ(simt::take_ranges(), "");  // no profiler is attached
  set_ranges_shown(true);
  work();
  set_ranges_shown(false);
  EXPECT_EQ(simt::take_ranges(), "encoder(device_layer_test()rest())");
}

}  // namespace
}  // namespace visage::cuda
