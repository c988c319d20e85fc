// The wrappers of single instructions (tensor/cuda/): products of tiles, asynchronous copies, vector atomics, redux.
#include "simt/control.h"
#include "tensor/cuda/async_copy.cuh"
#include "tensor/cuda/atomic.cuh"
#include "tensor/cuda/determinism.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/mma.cuh"
#include "tensor/cuda/stream.h"
#include "tensor/cuda/warp.cuh"
#include "tests/simt/harness/device_array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace visage::cuda {
namespace {

using test::DeviceArray;

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

template <class T>
std::vector<T> rounded(const std::vector<float>& values) {
  return std::vector<T>(values.begin(), values.end());
}

// ---- products -----------------------------------------------------------------------------------------------------

/// How the tiles lie in shared memory.
enum class Stored { plain, transposed };

/// d[16, 8] = a[16, 16] * b[16, 8]
template <class T, Stored kStored>
__global__ void product_kernel(const T* a, const T* b, float* d) {
  constexpr int kStride = 24;
  VISAGE_SHARED(T, a_tile, [16 * kStride]);
  VISAGE_SHARED(T, b_tile, [16 * kStride]);
  const int lane = static_cast<int>(threadIdx.x);
  constexpr bool kPlain = kStored == Stored::plain;
  for (int i = lane; i < 256; i += 32) a_tile[kPlain ? i / 16 * kStride + i % 16 : i % 16 * kStride + i / 16] = a[i];
  for (int i = lane; i < 128; i += 32) b_tile[kPlain ? i / 8 * kStride + i % 8 : i % 8 * kStride + i / 8] = b[i];
  __syncwarp();
  unsigned a_registers[4], b_registers[2];
  if constexpr (kPlain) {
    load_a(a_registers, a_tile, kStride, lane);
    load_b(b_registers, b_tile, kStride, lane);
  } else {
    load_a_transposed(a_registers, a_tile, kStride, lane);
    load_b_transposed(b_registers, b_tile, kStride, lane);
  }
  float sum[4] = {1, 1, 1, 1};
  mma<T>(sum, a_registers, b_registers);
  for (int i = 0; i < 4; ++i) d[mma_row(lane, i) * 8 + mma_column(lane, i)] = sum[i];
}

__global__ void product_tf32_kernel(const float* a, const float* b, float* d) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const unsigned a_registers[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]),
                                   to_tf32(a[(g + 8) * 8 + t + 4])};
  const unsigned b_registers[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float sum[4] = {1, 1, 1, 1};
  mma_tf32(sum, a_registers, b_registers);
  for (int i = 0; i < 4; ++i) d[mma_row(lane, i) * 8 + mma_column(lane, i)] = sum[i];
}

/// 1 + a[16, depth] * b[depth, 8] in doubles.
template <class T>
std::vector<double> product(const std::vector<T>& a, const std::vector<T>& b, int depth) {
  std::vector<double> d(16 * 8, 1.);
  for (int i = 0; i < 16 * 8; ++i) {
    for (int k = 0; k < depth; ++k) {
      d[i] += static_cast<double>(static_cast<float>(a[i / 8 * depth + k])) * static_cast<float>(b[k * 8 + i % 8]);
    }
  }
  return d;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << "element " << i;
}

template <class T>
void check_products() {
  const std::vector<T> a = rounded<T>(random_values(256, 1)), b = rounded<T>(random_values(128, 2));
  const DeviceArray<T> on_device_a(a), on_device_b(b);
  DeviceArray<float> d(128);
  launch<product_kernel<T, Stored::plain>>({1, 32, 0, current_stream()}, on_device_a.data(), on_device_b.data(),
                                           d.data());
  expect_near(d.host(), product(a, b, 16), 1e-5);
  launch<product_kernel<T, Stored::transposed>>({1, 32, 0, current_stream()}, on_device_a.data(), on_device_b.data(),
                                                d.data());
  expect_near(d.host(), product(a, b, 16), 1e-5);
}

TEST(Mma, ProductsOf16BitTiles) {
  check_products<__nv_bfloat16>();
  check_products<__half>();
}

TEST(Mma, ProductsOfTf32Tiles) {
  const std::vector<float> a = random_values(128, 3), b = random_values(64, 4);
  const DeviceArray<float> on_device_a(a), on_device_b(b);
  DeviceArray<float> d(128);
  launch<product_tf32_kernel>({1, 32, 0, current_stream()}, on_device_a.data(), on_device_b.data(), d.data());
  std::vector<float> a_rounded, b_rounded;
  for (const float value : a) a_rounded.push_back(__uint_as_float(to_tf32(value)));
  for (const float value : b) b_rounded.push_back(__uint_as_float(to_tf32(value)));
  expect_near(d.host(), product(a_rounded, b_rounded, 8), 1e-5);
  expect_near(d.host(), product(a, b, 8), 2e-2);
}

TEST(Mma, Tf32RoundsTiesAway) {
  EXPECT_EQ(__uint_as_float(to_tf32(1 + 0x1p-11f)), 1 + 0x1p-10f);
  EXPECT_EQ(__uint_as_float(to_tf32(-1 - 0x1p-11f)), -1 - 0x1p-10f);
  EXPECT_EQ(__uint_as_float(to_tf32(1 + 0x1p-12f)), 1.f);
  EXPECT_TRUE(std::isinf(__uint_as_float(to_tf32(INFINITY))));
}

/// out[lane][4]: what a lane holds of four matrices whose element (row, column) of matrix i is 100 i + 10 row + column.
template <Stored kStored>
__global__ void load_matrix_kernel(unsigned* out) {
  VISAGE_SHARED(unsigned short, tile, [4 * 64]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) {
    tile[i] = static_cast<unsigned short>(i / 64 * 100 + i / 8 % 8 * 10 + i % 8);
  }
  __syncwarp();
  unsigned registers[4], two[2];
  if constexpr (kStored == Stored::plain) {
    load_matrix(registers, tile + 8 * lane);
    load_matrix(two, lane < 16 ? tile + 8 * lane : nullptr);
  } else {
    load_matrix_transposed(registers, tile + 8 * lane);
    load_matrix_transposed(two, lane < 16 ? tile + 8 * lane : nullptr);
  }
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = i < 2 && two[i] != registers[i] ? ~0u : registers[i];
}

TEST(Mma, MatricesAreSpreadOverTheLanes) {
  DeviceArray<unsigned> plain(128), transposed(128);
  launch<load_matrix_kernel<Stored::plain>>({1, 32, 0, current_stream()}, plain.data());
  launch<load_matrix_kernel<Stored::transposed>>({1, 32, 0, current_stream()}, transposed.data());
  for (unsigned i = 0; i < 128; ++i) {
    const unsigned g = i / 4 / 4, t = i / 4 % 4, base = i % 4 * 100;
    EXPECT_EQ(plain.host()[i], base + 10 * g + 2 * t + ((base + 10 * g + 2 * t + 1) << 16));
    EXPECT_EQ(transposed.host()[i], base + 20 * t + g + ((base + 20 * t + 10 + g) << 16));
  }
}

/// d[16, 8] = (a[16, 16] * b[16, 16]) * c[16, 8] with the first product kept in registers.
__global__ void chain_kernel(const __half* a, const __half* b, const __half* c, float* d) {
  VISAGE_SHARED(__half, tile, [3 * 16 * 24]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) tile[i / 16 * 24 + i % 16] = a[i];
  for (int i = lane; i < 256; i += 32) tile[384 + i / 16 * 24 + i % 16] = b[i];
  for (int i = lane; i < 128; i += 32) tile[768 + i / 8 * 24 + i % 8] = c[i];
  __syncwarp();
  unsigned left[4], right[2];
  load_a(left, tile, 24, lane);
  float first[2][4] = {};
  for (int half = 0; half < 2; ++half) {
    load_b(right, tile + 384 + 8 * half, 24, lane);
    mma<__half>(first[half], left, right);
  }
  pack_accumulators<__half>(left, first[0], first[1]);
  load_b(right, tile + 768, 24, lane);
  float sum[4] = {};
  mma<__half>(sum, left, right);
  for (int i = 0; i < 4; ++i) d[mma_row(lane, i) * 8 + mma_column(lane, i)] = sum[i];
}

TEST(Mma, AccumulatorsBecomeTheNextLeftOperand) {
  const std::vector<__half> a = rounded<__half>(random_values(256, 5)), b = rounded<__half>(random_values(256, 6)),
                            c = rounded<__half>(random_values(128, 7));
  const DeviceArray<__half> on_device_a(a), on_device_b(b), on_device_c(c);
  DeviceArray<float> d(128);
  launch<chain_kernel>({1, 32, 0, current_stream()}, on_device_a.data(), on_device_b.data(), on_device_c.data(),
                       d.data());
  std::vector<double> want(128);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      double between = 0;
      for (int k = 0; k < 16; ++k) between += static_cast<double>(float(a[i * 16 + k])) * float(b[k * 16 + j]);
      for (int n = 0; n < 8; ++n) want[i * 8 + n] += between * float(c[j * 8 + n]);
    }
  }
  expect_near(d.host(), want, 0.05);
}

__global__ void half_a_warp_product_kernel(float* d) {
  const unsigned a[4] = {}, b[2] = {};
  float sum[4] = {};
  if (threadIdx.x < 16) mma<__half>(sum, a, b);
  d[threadIdx.x] = sum[0];
}
__global__ void misaligned_matrix_kernel(float* d) {
  VISAGE_SHARED(unsigned short, tile, [8 * 40]);
  unsigned registers[4];
  load_matrix(registers, tile + 9 * threadIdx.x);
  d[threadIdx.x] = static_cast<float>(registers[0]);
}
__global__ void matrix_in_global_memory_kernel(float* d) {
  unsigned registers[4];
  load_matrix(registers, d + 4 * threadIdx.x);
  d[threadIdx.x] = static_cast<float>(registers[0]);
}
TEST(FaultsDeathTest, MatrixInstructions) {
  const simt::Schedule previous = simt::set_schedule(simt::Schedule::forward);
  DeviceArray<float> d(128);
  EXPECT_DEATH((launch<half_a_warp_product_kernel>({1, 32, 0, current_stream()}, d.data()), d.host()),
               "needs all 32 lanes");
  EXPECT_DEATH((launch<misaligned_matrix_kernel>({1, 32, 0, current_stream()}, d.data()), d.host()),
               "ldmatrix: .* is not aligned to 16 bytes\n.*misaligned_matrix_kernel.*\n.*thread \\(1, 0, 0\\)");
  EXPECT_DEATH((launch<matrix_in_global_memory_kernel>({1, 32, 0, current_stream()}, d.data()), d.host()),
               "ldmatrix: .* is not shared memory");
  simt::set_schedule(previous);
}

// ---- asynchronous copies ------------------------------------------------------------------------------------------

/// out[i] = the sum of `tiles` tiles of 128 floats, of which the last is cut short to `tail` floats.
__global__ void pipeline_kernel(const float* in, float* out, int tiles, int tail) {
  VISAGE_SHARED(float, stage, [2][128]);
  const int at = 4 * static_cast<int>(threadIdx.x);
  const auto load = [&](int tile) {
    const int left = tile == tiles - 1 ? max(0, min(4, tail - at)) : 4;
    copy_async(&stage[tile % 2][at], in + 128 * tile + at, 4 * left);
  };
  float sum[4] = {};
  load(0);
  commit_copies();
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) load(tile + 1);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    for (int i = 0; i < 4; ++i) sum[i] += stage[tile % 2][127 - at - i];
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) out[127 - at - i] = sum[i];
}

TEST(AsyncCopy, ATwoStagePipelineWithATail) {
  const std::vector<float> in = random_values(5 * 128, 8);
  const DeviceArray<float> from(in);
  for (const int tail : {128, 126, 3, 0}) {
    DeviceArray<float> out(128);
    launch<pipeline_kernel>({1, 32, 0, current_stream()}, from.data(), out.data(), 5, tail);
    std::vector<float> want(128);
    for (int i = 0; i < 5 * 128; ++i) want[i % 128] += i < 4 * 128 + tail ? in[i] : 0;
    EXPECT_EQ(out.host(), want);
  }
}

__global__ void too_early_kernel(const float* in, float* out) {
  VISAGE_SHARED(float, tile, [4]);
  copy_async(tile, in);
  commit_copies();
  wait_copies<1>();
  out[0] = tile[0];
  wait_copies<0>();
  out[1] = tile[0];
}
TEST(AsyncCopy, NothingArrivesBeforeTheWait) {
  const DeviceArray<float> in(std::vector<float>(4, 5.f));
  DeviceArray<float> out(2);
  const auto read_too_early = [&] {
    launch<too_early_kernel>({1, 1, 0, current_stream()}, in.data(), out.data());
    EXPECT_TRUE(simt::is_undefined(out.host()[0]));
    EXPECT_EQ(out.host()[1], 5.f);
  };
#if defined(SIMT_MSAN)
  EXPECT_DEATH(read_too_early(), "use-of-uninitialized-value(.*\n)*.*copy_async");
#else
  read_too_early();
#endif
}

__global__ void never_waited_kernel(float* data) {
  VISAGE_SHARED(float, tile, [32 * 4]);
  copy_async(&tile[4 * threadIdx.x], data);
  commit_copies();
}
__global__ void not_committed_kernel(float* data) {
  VISAGE_SHARED(float, tile, [4]);
  copy_async(tile, data);
  wait_copies<0>();
}
__global__ void overwritten_source_kernel(float* data) {
  VISAGE_SHARED(float, tile, [4]);
  copy_async(tile, data);
  commit_copies();
  data[2] = 3;
  wait_copies<0>();
}
__global__ void misaligned_source_kernel(float* data) {
  VISAGE_SHARED(float, tile, [4]);
  copy_async(tile, data + 1);
}
TEST(FaultsDeathTest, AsyncCopies) {
  const simt::Schedule previous = simt::set_schedule(simt::Schedule::forward);
  DeviceArray<float> data(std::vector<float>(8));
  EXPECT_DEATH((launch<never_waited_kernel>({1, 32, 0, current_stream()}, data.data()), data.host()),
               "exits with 1 copies that it never waited for\n.*kernel never_waited_kernel");
  EXPECT_DEATH((launch<not_committed_kernel>({1, 1, 0, current_stream()}, data.data()), data.host()),
               "never waited for");
  EXPECT_DEATH((launch<overwritten_source_kernel>({1, 1, 0, current_stream()}, data.data()), data.host()),
               "the source changed before the wait");
  EXPECT_DEATH((launch<misaligned_source_kernel>({1, 1, 0, current_stream()}, data.data()), data.host()),
               "source .* is not aligned");
  simt::set_schedule(previous);
}

#if defined(SIMT_TSAN)
__global__ void no_barrier_after_wait_kernel(const float* in, float* out) {
  VISAGE_SHARED(float, tile, [32 * 4]);
  const int at = 4 * static_cast<int>(threadIdx.x);
  copy_async(tile + at, in + at);
  commit_copies();
  wait_copies<0>();
  out[threadIdx.x] = tile[127 - at];
}
TEST(FaultsDeathTest, AWaitForCopiesIsNoBarrier) {
  const DeviceArray<float> in(std::vector<float>(128));
  DeviceArray<float> out(32);
  EXPECT_DEATH((launch<no_barrier_after_wait_kernel>({1, 32, 0, current_stream()}, in.data(), out.data()), out.host()),
               "ThreadSanitizer: data race");
}
#endif

// ---- atomics and redux --------------------------------------------------------------------------------------------

__global__ void add_kernel(float* sums) {
  const float values[4] = {1, 2, 3, static_cast<float>(threadIdx.x)};
  atomic_add4(sums, values);
  atomic_add(sums + 4, 0.5f);
}
TEST(Atomics, AddFourAtOnce) {
  DeviceArray<float> sums(std::vector<float>(5));
  launch<add_kernel>({2, 40, 0, current_stream()}, sums.data());
  EXPECT_EQ(sums.host(), (std::vector<float>{80, 160, 240, 2 * 780, 40}));
}
TEST(FaultsDeathTest, MisalignedVectorAtomic) {
  DeviceArray<float> sums(std::vector<float>(8));
  EXPECT_DEATH((launch<add_kernel>({1, 1, 0, current_stream()}, sums.data() + 1), sums.host()),
               "atomic_add4: .* is not aligned");
}

__global__ void argmin_kernel(const float* in, float* value, int* index) {
  const ArgMin least = warp_argmin(in[threadIdx.x], 31 - static_cast<int>(threadIdx.x));
  value[threadIdx.x] = least.value;
  index[threadIdx.x] = least.index;
}
TEST(Warp, ArgMinTakesTheLowestOfEqualIndices) {
  struct Case {
    std::vector<float> set;  // at threads 3, 9, 20; the rest is +infinity
    float value;
    int index;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Case& c : {Case{{2, 1, 3}, 1, 22}, Case{{-1, -2, -2}, -2, 11}, Case{{-0.f, 0.f, -0.f}, 0, 11},
                        Case{{infinity, infinity, infinity}, infinity, 0}, Case{{5, -infinity, 1}, -infinity, 22}}) {
    std::vector<float> in(32, infinity);
    in[3] = c.set[0], in[9] = c.set[1], in[20] = c.set[2];
    const DeviceArray<float> from(in);
    DeviceArray<float> value(32);
    DeviceArray<int> index(32);
    launch<argmin_kernel>({1, 32, 0, current_stream()}, from.data(), value.data(), index.data());
    EXPECT_EQ(value.host(), std::vector<float>(32, c.value));
    EXPECT_EQ(index.host(), std::vector<int>(32, c.index));
  }
}

TEST(Warp, OrderedKeysKeepTheOrder) {
  const std::vector<float> values = {-INFINITY, -2, -1, -0x1p-149f, 0, 0x1p-149f, 1, 2, INFINITY};
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(from_ordered_key(ordered_key(values[i])), values[i]);
    if (i == 0) continue;
    EXPECT_LT(ordered_key(values[i - 1]), ordered_key(values[i]));
  }
}

TEST(Determinism, IsTheDefaultAndAScopeChangesIt) {
  EXPECT_TRUE(deterministic());
  {
    const DeterminismScope scope(false);
    EXPECT_FALSE(deterministic());
  }
  EXPECT_TRUE(deterministic());
}

}  // namespace
}  // namespace visage::cuda
