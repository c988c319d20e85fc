// Planted faults: each must end the process with a message that says what is wrong and where.
#include "simt/control.h"
#include "tensor/cuda/async_copy.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/stream.h"
#include "tensor/cuda/warp.cuh"
#include "tests/simt/harness/device_array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace visage::cuda {
namespace {

using test::DeviceArray;

/// Runs a kernel on 256 floats of device memory and waits for it. The messages below are those of the forward schedule.
template <auto Kernel, class... Arguments>
void run(dim3 grid, dim3 block, std::size_t shared_bytes, Arguments... arguments) {
  const simt::Schedule previous = simt::set_schedule(simt::Schedule::forward);
  DeviceArray<float> data(std::vector<float>(256));
  launch<Kernel>({grid, block, shared_bytes, current_stream()}, data.data(), arguments...);
  synchronize(current_stream());
  simt::set_schedule(previous);
}

// ---- found in every build
// ---------------------------------------------------------------------------------------------

__global__ void barrier_in_branch_kernel(float* data) {
  if (threadIdx.x < 32) {
    __syncthreads();
    data[threadIdx.x] = 1;
  } else {
    data[threadIdx.x] = 2;
    __syncthreads();
  }
}
TEST(FaultsDeathTest, DivergentBarrier) {
  EXPECT_DEATH((run<barrier_in_branch_kernel>(2, 64, 0)),
               "divergent barrier: some threads wait on line .*\n.*kernel barrier_in_branch_kernel, grid \\(2, 1, 1\\)"
               ".*\n.*block \\(0, 0, 0\\), thread(.*\n)*.*wait at a block barrier at faults_test.cpp");
}

__global__ void barrier_in_loop_kernel(float* data) {
  for (unsigned i = 0; i < threadIdx.x / 32; ++i) __syncthreads();
  data[threadIdx.x] = __shfl_sync(kAllLanes, 1.f, 0);
  if (threadIdx.x >= 32)
    __syncwarp();
  else
    __syncthreads();
}
TEST(FaultsDeathTest, BarrierNotReachedByAll) {
  EXPECT_DEATH((run<barrier_in_loop_kernel>(1, 64, 0)), "divergent barrier|deadlock");
}

__global__ void half_a_warp_kernel(float* data) {
  float value = 1;
  if (threadIdx.x < 16) value = __shfl_xor_sync(kAllLanes, value, 1);
  __syncthreads();
  data[threadIdx.x] = value;
}
TEST(FaultsDeathTest, ShuffleNotReachedByAllLanes) {
  EXPECT_DEATH((run<half_a_warp_kernel>(1, 64, 0)), "deadlock.*\n(.*\n)*.*16 threads wait for lanes of their warp");
}

__global__ void exited_lane_kernel(float* data) {
  if (threadIdx.x >= 16) return;
  data[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.f, 16);
}
TEST(FaultsDeathTest, ShuffleFromAnExitedLane) {
  EXPECT_DEATH((run<exited_lane_kernel>(1, 32, 0)), "shuffle: lane 0 reads from lane 16, which takes no part");
}

__global__ void not_in_mask_kernel(float* data) { data[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.f, 1); }
TEST(FaultsDeathTest, LaneNotInItsMask) {
  EXPECT_DEATH((run<not_in_mask_kernel>(1, 32, 0)), "lane 16 .* mask 0x0000ffff does not name it");
}

__global__ void two_lines_kernel(float* data) {
  if (threadIdx.x < 16)
    data[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.f, 1);
  else
    data[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1.f, 1);
}
TEST(FaultsDeathTest, LanesMeetOnDifferentLines) {
  EXPECT_DEATH((run<two_lines_kernel>(1, 32, 0)), "divergent warp collective: lanes 0 and 16");
}

__global__ void store_kernel(float* data) { data[threadIdx.x] = 1; }
TEST(FaultsDeathTest, HostPointerPassedToAKernel) {
  static float host[32];
  EXPECT_DEATH((launch<store_kernel>({1, 32, 0, current_stream()}, host)),
               "kernel store_kernel: pointer argument 0 .* is not device memory");
}
TEST(FaultsDeathTest, FreedPointerPassedToAKernel) {
  const auto use_after_free = [] {
    float* data = nullptr;
    check(cudaMalloc(&data, 128), "cudaMalloc");
    check(cudaFree(data), "cudaFree");
    launch<store_kernel>({1, 32, 0, current_stream()}, data);
  };
  EXPECT_DEATH(use_after_free(), "is not device memory");
}
TEST(FaultsDeathTest, LegacyDefaultStream) {
  DeviceArray<float> data(32);
  EXPECT_DEATH((launch<store_kernel>({1, 32, 0, {}}, data.data())), "legacy default stream");
}

TEST(FaultsDeathTest, CopyPastTheEnd) {
  DeviceArray<float> data(8);
  std::vector<float> host(9);
  EXPECT_DEATH(cudaMemcpy(data.data(), host.data(), 36, cudaMemcpyHostToDevice), "36 bytes at .* run past the end");
}
TEST(FaultsDeathTest, CopyInTheWrongDirection) {
  DeviceArray<float> data(8);
  std::vector<float> host(8);
  EXPECT_DEATH(cudaMemcpy(host.data(), data.data(), 32, cudaMemcpyHostToDevice),
               "destination: .* is not device memory");
  EXPECT_DEATH(cudaMemcpy(data.data(), data.data(), 32, cudaMemcpyDeviceToHost), "destination: .* is device memory");
}
TEST(FaultsDeathTest, DoubleFree) {
  const auto twice = [] {
    float* data = nullptr;
    check(cudaMalloc(&data, 128), "cudaMalloc");
    check(cudaFree(data), "cudaFree");
    check(cudaFree(data), "cudaFree");
  };
  EXPECT_DEATH(twice(), "cudaFree: .* is not the start of a live allocation");
}

__global__ void too_much_shared_kernel(float* data) {
  VISAGE_SHARED(float, a, [8192]);
  VISAGE_SHARED(float, b, [8192]);
  a[threadIdx.x] = b[threadIdx.x] = 1;
  data[threadIdx.x] = a[0] + b[0];
}
TEST(FaultsDeathTest, StaticSharedMemoryBeyond48KiB) {
  EXPECT_DEATH((run<too_much_shared_kernel>(1, 32, 0)), "static shared memory: 65536 bytes");
}

TEST(FaultsDeathTest, IntrinsicOutsideAKernel) { EXPECT_DEATH(__syncthreads(), "outside a kernel"); }

__global__ void set_kernel(float* data, float value) { data[threadIdx.x] = value; }
TEST(Faults, MissingStreamSynchronisationShowsWithLazyStreams) {
  const simt::Streams previous = simt::set_streams(simt::Streams::lazy);
  DeviceArray<float> data(32);
  float* pinned = nullptr;
  check(cudaMallocHost(&pinned, 128), "cudaMallocHost");
  {
    const Stream first, second;
    launch<set_kernel>({1, 32, 0, first.handle()}, data.data(), 42.f);
    const auto copy_on_second = [&] {
      check(cudaMemcpyAsync(pinned, data.data(), 128, cudaMemcpyDeviceToHost,
                            static_cast<cudaStream_t>(second.handle().raw)),
            "cudaMemcpyAsync");
      second.synchronize();
      return pinned[0];
    };
    EXPECT_TRUE(simt::is_undefined(copy_on_second()));
    Event event;
    event.record(first.handle());
    event.make_wait(second.handle());
    EXPECT_EQ(copy_on_second(), 42.f);
  }
  check(cudaFreeHost(pinned), "cudaFreeHost");
  simt::set_streams(previous);
}

#if !defined(SIMT_TSAN)
__device__ __attribute__((noinline)) float recurse(float* data, int depth) {
  volatile float frame[256];
  frame[depth % 256] = data[0];
  return depth == 0 ? frame[0] : recurse(data, depth - 1) + frame[depth % 256];
}
__global__ void deep_kernel(float* data, int depth) { data[threadIdx.x] = recurse(data, depth); }
TEST(FaultsDeathTest, StackOverflow) {
  EXPECT_DEATH((run<deep_kernel>(1, 8, 0, 1 << 20)), "thread \\(0, 0, 0\\)|stack-overflow");
}
#endif

// ---- found by AddressSanitizer and UndefinedBehaviorSanitizer
// ------------------------------------------------------------

#if defined(SIMT_ASAN)
__global__ void global_index_kernel(float* data, int extra) { data[threadIdx.x + extra] = 1; }
TEST(FaultsDeathTest, GlobalOutOfBounds) {
  EXPECT_DEATH((run<global_index_kernel>(1, 32, 0, 225)), "heap-buffer-overflow(.*\n)*.*thread \\(31, 0, 0\\)");
}

__global__ void shared_index_kernel(float* data, int extra) {
  VISAGE_SHARED(float, a, [64]);
  VISAGE_SHARED(float, b, [64]);
  float* const pointer = a;
  b[threadIdx.x] = 0;
  pointer[threadIdx.x + extra] = 1;
  data[threadIdx.x] = b[0];
}
TEST(FaultsDeathTest, SharedOutOfBounds) {
  EXPECT_DEATH((run<shared_index_kernel>(1, 64, 0, 1)), "use-after-poison(.*\n)*.*thread \\(63, 0, 0\\)");
}

__global__ void dynamic_index_kernel(float* data) {
  VISAGE_DYNAMIC_SHARED(float, tile);
  tile[threadIdx.x] = 1;
  data[threadIdx.x] = tile[0];
}
TEST(FaultsDeathTest, DynamicSharedOutOfBounds) {
  EXPECT_DEATH((run<dynamic_index_kernel>(1, 32, 31 * 4)), "use-after-poison(.*\n)*.*thread \\(31, 0, 0\\)");
}

__global__ void local_index_kernel(float* data, int index) {
  float local[8];
  for (int i = 0; i < 8; ++i) local[i] = data[i];
  __syncthreads();
  const float* const pointer = local;
  data[threadIdx.x] = pointer[index];
}
TEST(FaultsDeathTest, LocalOutOfBounds) {
  EXPECT_DEATH((run<local_index_kernel>(1, 8, 0, 8)), "stack-buffer-overflow|runtime error");
}

__global__ void misaligned_kernel(float* data) {
  float values[4];
  load_packet<4>(data + 1, values);
  data[0] = values[0];
}
TEST(FaultsDeathTest, MisalignedPacket) {
  EXPECT_DEATH((run<misaligned_kernel>(1, 1, 0)), "misaligned address .* requires 16 byte alignment");
}

__global__ void overflow_kernel(float* data, int large) { data[0] = static_cast<float>(large + 1); }
TEST(FaultsDeathTest, IntegerOverflow) {
  EXPECT_DEATH((run<overflow_kernel>(1, 1, 0, 0x7fffffff)), "signed integer overflow");
}
#endif

// ---- found by ThreadSanitizer
// ---------------------------------------------------------------------------------------------

#if defined(SIMT_TSAN)
constexpr const char* kRace = "ThreadSanitizer: data race";

__global__ void no_barrier_kernel(float* data) {
  VISAGE_SHARED(float, tile, [256]);
  tile[threadIdx.x] = 1;
  data[threadIdx.x] = tile[255 - threadIdx.x];
}
TEST(FaultsDeathTest, MissingBarrier) { EXPECT_DEATH((run<no_barrier_kernel>(1, 256, 0)), kRace); }

__global__ void no_second_barrier_kernel(float* data) {
  VISAGE_SHARED(float, tile, [64]);
  for (int i = 0; i < 2; ++i) {
    tile[threadIdx.x] = static_cast<float>(i);
    __syncthreads();
    data[threadIdx.x] += tile[63 - threadIdx.x];
  }
}
TEST(FaultsDeathTest, MissingBarrierBeforeTheNextWrite) {
  EXPECT_DEATH((run<no_second_barrier_kernel>(1, 64, 0)), kRace);
}

__global__ void shuffle_is_no_fence_kernel(float* data) {
  VISAGE_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1;
  const float value = __shfl_xor_sync(kAllLanes, 1.f, 1);
  data[threadIdx.x] = tile[31 - threadIdx.x] + value;
}
TEST(FaultsDeathTest, MissingWarpBarrier) { EXPECT_DEATH((run<shuffle_is_no_fence_kernel>(1, 32, 0)), kRace); }

__global__ void warp_barrier_kernel(float* data) {
  VISAGE_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1;
  __syncwarp();
  data[threadIdx.x] = tile[31 - threadIdx.x];
}
TEST(Faults, AWarpBarrierOrdersMemory) { run<warp_barrier_kernel>(1, 32, 0); }

__global__ void plain_sum_kernel(float* data) { data[0] += 1; }
TEST(FaultsDeathTest, UnprotectedSum) { EXPECT_DEATH((run<plain_sum_kernel>(1, 64, 0)), kRace); }

__global__ void two_blocks_kernel(float* data) {
  if (threadIdx.x == 0) data[blockIdx.x / 2] = static_cast<float>(blockIdx.x);
}
TEST(FaultsDeathTest, BlocksWriteTheSameElement) { EXPECT_DEATH((run<two_blocks_kernel>(8, 64, 0)), kRace); }
#endif

// ---- found by MemorySanitizer
// ---------------------------------------------------------------------------------------------

#if defined(SIMT_MSAN)
/// A report that has `middle` between the kind of fault and the thread, which is in block (1, 0, 0) of `kernel`.
std::string unwritten(const std::string& middle, const std::string& kernel, int thread = 5) {
  return "use-of-uninitialized-value(.*\n)*.*" + middle + "(.*\n)*.*kernel " + kernel +
         ", .*\n.*block \\(1, 0, 0\\), thread \\(" + std::to_string(thread) + ", 0, 0\\)";
}

/// All of `tile` but what thread 5 of block 1 should have written.
__device__ void fill_all_but_one(float* tile) {
  if (threadIdx.x != 5 || blockIdx.x != 1) tile[threadIdx.x] = 1;
  __syncthreads();
}

__global__ void branch_on_shared_kernel(float* data) {
  VISAGE_SHARED(float, tile, [64]);
  fill_all_but_one(tile);
  if (tile[threadIdx.x] > 0) data[threadIdx.x] = 1;
}
TEST(FaultsDeathTest, BranchOnUnwrittenSharedMemory) {
  EXPECT_DEATH((run<branch_on_shared_kernel>(2, 64, 0)),
               unwritten("faults_test.cpp(.*\n)*.*in simt::allocate_shared", "branch_on_shared_kernel"));
}

__global__ void store_of_shared_kernel(float* data) {
  VISAGE_DYNAMIC_SHARED(float, tile);
  fill_all_but_one(tile);
  data[threadIdx.x] = 2 * tile[threadIdx.x];
}
TEST(FaultsDeathTest, StoreOfUnwrittenSharedMemory) {
  EXPECT_DEATH((run<store_of_shared_kernel>(2, 64, 256)),
               unwritten("in .*store_of_shared_kernel.*faults_test.cpp", "store_of_shared_kernel"));
}

__global__ void shuffle_of_shared_kernel(float* data) {
  VISAGE_SHARED(float, tile, [64]);
  fill_all_but_one(tile);
  data[threadIdx.x] = __shfl_xor_sync(kAllLanes, tile[threadIdx.x], 1);
}
TEST(FaultsDeathTest, ShuffleOfUnwrittenSharedMemory) {
  EXPECT_DEATH((run<shuffle_of_shared_kernel>(2, 64, 0)), unwritten("faults_test.cpp", "shuffle_of_shared_kernel", 4));
}

__global__ void sum_of_shared_kernel(float* data) {
  VISAGE_SHARED(float, tile, [64]);
  fill_all_but_one(tile);
  atomicAdd(data, tile[threadIdx.x]);
}
TEST(FaultsDeathTest, AtomicSumOfUnwrittenSharedMemory) {
  EXPECT_DEATH((run<sum_of_shared_kernel>(2, 64, 0)), unwritten("faults_test.cpp", "sum_of_shared_kernel"));
}

struct Row {
  float values[32];
};
__global__ void copy_of_rows_kernel(Row* to, const Row* from) {
  if (threadIdx.x == 5 && blockIdx.x == 1) to[0] = from[0];
}
TEST(FaultsDeathTest, CopyOfUnwrittenDeviceMemory) {
  const DeviceArray<Row> from(1), to(1);
  EXPECT_DEATH((launch<copy_of_rows_kernel>({2, 64, 0, current_stream()}, to.data(), from.data())),
               unwritten("in simt::.*allocate", "copy_of_rows_kernel"));
}

__device__ __attribute__((noinline)) float half_of(float value) { return value / 2; }
__global__ void keep_to_itself_kernel(float* data, const float* unwritten) {
  VISAGE_SHARED(float, from, [8]);
  VISAGE_SHARED(float, to, [8]);
  copy_async(from, unwritten);
  commit_copies();
  wait_copies<0>();
  for (int i = 0; i < 8; ++i) to[i] = __shfl_xor_sync(1u, half_of(exp2f(from[i])), 0);
  data[0] = 1;
}
TEST(Faults, ABlockMayPassOnInSharedMemoryWhatNobodyHasWritten) {
  const DeviceArray<float> unwritten(4);
  run<keep_to_itself_kernel>(1, 1, 0, unwritten.data());
}
#endif

}  // namespace
}  // namespace visage::cuda
