// What correct kernels may rely on: the harness itself, tested under every schedule.
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "simt/control.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/stream.h"
#include "tensor/cuda/warp.cuh"
#include "tensor/error.h"
#include "tests/simt/harness/device_array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

namespace visage::cuda {
namespace {

using test::DeviceArray;

class Execution : public testing::TestWithParam<simt::Schedule> {
 protected:
  void SetUp() override { previous_ = simt::set_schedule(GetParam(), 7); }
  void TearDown() override { simt::set_schedule(previous_); }
  static StreamHandle stream() { return current_stream(); }

 private:
  simt::Schedule previous_;
};

__global__ void indices_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned at = block * (blockDim.x * blockDim.y * blockDim.z) + thread;
  out[at] = static_cast<int>(at);
}

TEST_P(Execution, EveryThreadOfEveryBlockRunsOnce) {
  DeviceArray<int> out(5 * 3 * 2 * 7 * 3 * 2);
  launch<indices_kernel>({dim3(5, 3, 2), dim3(7, 3, 2), 0, stream()}, out.data());
  std::vector<int> want(out.size());
  std::iota(want.begin(), want.end(), 0);
  EXPECT_EQ(out.host(), want);
}

__global__ void reverse_kernel(const int* in, int* out) {
  VISAGE_SHARED(int, tile, [256]);
  for (int round = 0; round < 3; ++round) {
    tile[threadIdx.x] = in[threadIdx.x] + round;
    __syncthreads();
    out[round * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
    __syncthreads();
  }
}

TEST_P(Execution, BarriersOrderSharedMemory) {
  std::vector<int> in(250);
  std::iota(in.begin(), in.end(), 0);
  DeviceArray<int> from(in), out(750);
  launch<reverse_kernel>({1, 250, 0, stream()}, from.data(), out.data());
  const std::vector<int> got = out.host();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 250; ++i) EXPECT_EQ(got[round * 250 + i], 249 - i + round);
  }
}

__global__ void early_exit_kernel(int* out) {
  if (threadIdx.x >= 70) return;
  out[threadIdx.x] = __syncthreads_count(threadIdx.x % 2 == 0);
  out[threadIdx.x] += 1000 * __syncthreads_and(threadIdx.x < 70);
  out[threadIdx.x] += 2000 * __syncthreads_or(threadIdx.x == 500);
}

TEST_P(Execution, BarriersCountTheThreadsThatAreLeft) {
  DeviceArray<int> out(70);
  launch<early_exit_kernel>({1, 128, 0, stream()}, out.data());
  EXPECT_EQ(out.host(), std::vector<int>(70, 1035));
}

__global__ void dynamic_kernel(int* out) {
  VISAGE_DYNAMIC_SHARED(int, tile);
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] = tile[(threadIdx.x + 1) % blockDim.x];
}

TEST_P(Execution, DynamicSharedMemoryBeyond48KiB) {
  DeviceArray<int> out(64);
  launch<dynamic_kernel>({1, 64, 100 * 1024, stream()}, out.data());
  EXPECT_EQ(out.host()[63], 0);
  EXPECT_EQ(out.host()[0], 1);
}

__global__ void shuffles_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int* const mine = out + 9 * threadIdx.x;
  mine[0] = __shfl_sync(kAllLanes, lane, 5);
  mine[1] = __shfl_xor_sync(kAllLanes, lane, 3);
  mine[2] = __shfl_down_sync(kAllLanes, lane, 4);
  mine[3] = __shfl_up_sync(kAllLanes, lane, 4);
  mine[4] = __shfl_down_sync(kAllLanes, lane, 3, 8);
  mine[5] = static_cast<int>(__ballot_sync(kAllLanes, lane % 4 == 0));
  mine[6] = static_cast<int>(__match_any_sync(kAllLanes, lane / 8));
  mine[7] = lane < 16 ? __shfl_xor_sync(0xffffu, lane, 1) : __shfl_xor_sync(0xffff0000u, lane, 2);
  mine[8] = static_cast<int>(__reduce_min_sync(kAllLanes, static_cast<unsigned>((lane + 27) % 32 - 9)));
}

TEST_P(Execution, ShufflesAndVotes) {
  DeviceArray<int> out(64 * 9);
  launch<shuffles_kernel>({1, 64, 0, stream()}, out.data());
  const std::vector<int> got = out.host();
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    const int* const mine = &got[9 * thread];
    EXPECT_EQ(mine[0], 5);
    EXPECT_EQ(mine[1], lane ^ 3);
    EXPECT_EQ(mine[2], lane < 28 ? lane + 4 : lane);
    EXPECT_EQ(mine[3], lane >= 4 ? lane - 4 : lane);
    EXPECT_EQ(mine[4], lane % 8 < 5 ? lane + 3 : lane);
    EXPECT_EQ(mine[5], 0x11111111);
    EXPECT_EQ(static_cast<unsigned>(mine[6]), 0xffu << lane / 8 * 8);
    EXPECT_EQ(mine[7], lane < 16 ? lane ^ 1 : lane ^ 2);
    EXPECT_EQ(mine[8], 0);
  }
}

__global__ void sums_kernel(const float* in, float* out) {
  const float sum = block_reduce<256>(in[threadIdx.x]);
  const float largest = block_reduce<256, Max>(in[threadIdx.x]);
  out[threadIdx.x] = sum + 1e6f * largest;
}

TEST_P(Execution, BlockReduceGivesEveryThreadTheResult) {
  std::vector<float> in(256);
  std::iota(in.begin(), in.end(), 0.f);
  DeviceArray<float> from(in), out(256);
  launch<sums_kernel>({1, 256, 0, stream()}, from.data(), out.data());
  EXPECT_EQ(out.host(), std::vector<float>(256, 255 * 128 + 255e6f));
}

__global__ void atomics_kernel(int* counters, float* sum, unsigned long long* bits) {
  atomicAdd(sum, 0.5f);
  atomicAdd(&counters[0], 2);
  atomicMax(&counters[1], static_cast<int>(threadIdx.x));
  atomicMin(&counters[2], -static_cast<int>(threadIdx.x));
  atomicOr(bits, 1ull << threadIdx.x % 64);
  atomicCAS(&counters[3], 0, 1 + static_cast<int>(blockIdx.x));
}

TEST_P(Execution, Atomics) {
  DeviceArray<int> counters(std::vector<int>(4));
  DeviceArray<float> sum(std::vector<float>(1));
  DeviceArray<unsigned long long> bits(std::vector<unsigned long long>(1));
  launch<atomics_kernel>({3, 100, 0, stream()}, counters.data(), sum.data(), bits.data());
  const std::vector<int> got = counters.host();
  EXPECT_EQ(got[0], 600);
  EXPECT_EQ(got[1], 99);
  EXPECT_EQ(got[2], -99);
  EXPECT_GE(got[3], 1);
  EXPECT_EQ(sum.host()[0], 150.f);
  EXPECT_EQ(bits.host()[0], ~0ull);
}

/// The last block to finish adds up what the others left: a fence, then an atomic.
__global__ void last_block_kernel(int* partial, unsigned* done, int* total) {
  VISAGE_SHARED(bool, last, [1]);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
    __threadfence();
    last[0] = atomicInc(done, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last[0] || threadIdx.x != 0) return;
  __threadfence();
  for (unsigned i = 0; i < gridDim.x; ++i) *total += partial[i];
}

TEST_P(Execution, FencesPublishToOtherBlocks) {
  DeviceArray<int> partial(10), total(std::vector<int>(1));
  DeviceArray<unsigned> done(std::vector<unsigned>(1));
  launch<last_block_kernel>({10, 64, 0, stream()}, partial.data(), done.data(), total.data());
  EXPECT_EQ(total.host()[0], 55);
}

__global__ void spin_kernel(int* flag, int* out) {
  if (threadIdx.x == 0) {
    while (atomicAdd(flag, 0) == 0) {
    }
    out[0] = 7;
  } else if (threadIdx.x == 33) {
    atomicExch(flag, 1);
  }
}

TEST_P(Execution, AThreadMayWaitForAnother) {
  DeviceArray<int> flag(std::vector<int>(1)), out(1);
  launch<spin_kernel>({1, 64, 0, stream()}, flag.data(), out.data());
  EXPECT_EQ(out.host()[0], 7);
}

INSTANTIATE_TEST_SUITE_P(Schedules, Execution,
                         testing::Values(simt::Schedule::forward, simt::Schedule::reverse, simt::Schedule::random));

__global__ void copy_kernel(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x]; }
__global__ void uninitialised_kernel(float* out) {
  VISAGE_SHARED(float, tile, [32]);
  out[threadIdx.x] = tile[threadIdx.x];
}

#if !defined(SIMT_MSAN)  // which does not let it pass
TEST(Memory, UninitialisedMemoryHasTheFill) {
  DeviceArray<float> in(32), out(32);
  launch<copy_kernel>({1, 32, 0, current_stream()}, in.data(), out.data());
  for (const float value : out.host()) EXPECT_TRUE(simt::is_undefined(value));
  launch<uninitialised_kernel>({1, 32, 0, current_stream()}, out.data());
  for (const float value : out.host()) EXPECT_TRUE(simt::is_undefined(value));
}
#endif

TEST(Types, HalfAndBfloat16RoundToNearestEven) {
  EXPECT_EQ(static_cast<float>(__half(1 + 0x1p-11f)), 1.f);
  EXPECT_EQ(static_cast<float>(__half(1 + 0x3p-11f)), 1 + 0x1p-9f);
  EXPECT_EQ(static_cast<float>(__nv_bfloat16(1 + 0x1p-8f)), 1.f);
  EXPECT_EQ(static_cast<float>(__nv_bfloat16(1 + 0x3p-8f)), 1 + 0x1p-6f);
  EXPECT_TRUE(std::isnan(static_cast<float>(__nv_bfloat16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(static_cast<float>(__half(1e6f))));
  static_assert(alignof(float4) == 16 && sizeof(float3) == 12 && sizeof(Packet<__half, 8>) == 16);
}

TEST(Launch, ARefusedLaunchThrowsWithTheKernelAndItsSize) {
  DeviceArray<float> array(std::vector<float>(32));
  try {
    launch<copy_kernel>({1, 2048, 0, current_stream()}, array.data(), array.data());
    FAIL() << "2048 threads in a block were accepted";
  } catch (const CudaError& error) {
    EXPECT_NE(std::string(error.what()).find("copy_kernel with grid (1, 1, 1), block (2048, 1, 1)"), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.thrown_at().file_name()).find("execution_test.cpp"), std::string::npos);
  }
  EXPECT_THROW(launch<copy_kernel>({0, 32, 0, current_stream()}, array.data(), array.data()), CudaError);
  EXPECT_THROW(launch<copy_kernel>({1, 32, 300 * 1024, current_stream()}, array.data(), array.data()), CudaError);
  EXPECT_NO_THROW(launch<copy_kernel>({1, 32, 0, current_stream()}, array.data(), array.data()));
}

__global__ void one_kernel(float* out) { out[0] = 1; }
TEST(LaunchDeathTest, SynchronousLaunchesAreDoneWhenTheyReturn) {
  const auto launch_lazily = [](const char* synchronous) {
    setenv("VISAGE_SYNC_LAUNCHES", synchronous, 1);
    simt::set_streams(simt::Streams::lazy);
    const DeviceArray<float> out(std::vector<float>(1));
    launch<one_kernel>({1, 1, 0, current_stream()}, out.data());
    std::_Exit(out.data()[0] == 1 ? 10 : 20);  // read without waiting
  };
  EXPECT_EXIT(launch_lazily("1"), testing::ExitedWithCode(10), "");
  EXPECT_EXIT(launch_lazily("0"), testing::ExitedWithCode(20), "");
}

}  // namespace
}  // namespace visage::cuda
