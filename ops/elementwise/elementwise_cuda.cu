// Elementwise maps, softmax and sums on the GPU, f32. All kernels are bound by memory bandwidth. Compiled for sm_80 and
// sm_90 and run on the host against the CPU code; not yet run or timed on a GPU.
#include "ops/elementwise/elementwise_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::elementwise_detail {
namespace {

using cuda::kPacketSize;
using cuda::kWarpSize;
using cuda::load_packet;
using cuda::store_packet;

constexpr int kThreads = 256;

/// out[i] = x[i] + y[i % period].
/// Mapping: a thread owns kSize neighbours; packets need a period in packets. Shared memory: none.
template <int kSize>
__global__ void __launch_bounds__(kThreads)
    add_kernel(const float* x, const float* y, float* out, std::int64_t count, std::int64_t period) {
  const std::int64_t index = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize;
  if (index >= count) return;
  float values[kSize], added[kSize];
  load_packet<kSize>(x + index, values);
  load_packet<kSize>(y + (count == period ? index : index % period), added);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] += added[i];
  store_packet(out + index, values);
}

/// Mapping: a thread owns kSize neighbours, one by one at the end. Shared memory: none. Not a number stays so.
template <int kSize>
__global__ void __launch_bounds__(kThreads) relu_kernel(const float* x, float* out, std::int64_t count) {
  const std::int64_t index = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize;
  if (index + kSize <= count) {
    float values[kSize];
    load_packet<kSize>(x + index, values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] = values[i] < 0 ? 0.f : values[i];
    store_packet(out + index, values);
    return;
  }
  for (std::int64_t i = index; i < count; ++i) out[i] = x[i] < 0 ? 0.f : x[i];
}

/// Over the kRowThreads threads, a warp or the whole block, that own one row.
template <int kRowThreads, class Op>
__device__ __forceinline__ float reduce_row(float value, Op op) {
  if constexpr (kRowThreads == kWarpSize)
    return cuda::warp_reduce(value, op);
  else
    return cuda::block_reduce<kRowThreads>(value, op);
}

/// Mapping: kRowThreads threads, a warp (short rows, eight a block) or a block, own a row and pass over it three times,
/// the later times from the cache. Shared memory: 32 bytes in block_reduce.
template <int kRowThreads>
__global__ void __launch_bounds__(kThreads)
    softmax_kernel(const float* x, float* out, std::int64_t rows, std::int64_t columns) {
  const std::int64_t row = blockIdx.x * std::int64_t{kThreads / kRowThreads} + threadIdx.x / kRowThreads;
  if (row >= rows) return;  // whole warps leave; a block that owns one row stays
  const int first = static_cast<int>(threadIdx.x) % kRowThreads;
  const float* from = x + row * columns;
  float* to = out + row * columns;
  float peak = -INFINITY;
  for (std::int64_t c = first; c < columns; c += kRowThreads) peak = cuda::Max()(peak, from[c]);
  peak = reduce_row<kRowThreads>(peak, cuda::Max());
  float total = 0;
  for (std::int64_t c = first; c < columns; c += kRowThreads) total += expf(from[c] - peak);
  total = reduce_row<kRowThreads>(total, cuda::Sum());
  for (std::int64_t c = first; c < columns; c += kRowThreads) to[c] = expf(from[c] - peak) / total;
}

/// Mapping as for softmax; two passes. Shared memory: 32 bytes in block_reduce.
template <int kRowThreads>
__global__ void __launch_bounds__(kThreads)
    softmax_backward_kernel(const float* gy, const float* y, float* gx, float beta, std::int64_t rows,
                            std::int64_t columns) {
  const std::int64_t row = blockIdx.x * std::int64_t{kThreads / kRowThreads} + threadIdx.x / kRowThreads;
  if (row >= rows) return;
  const int first = static_cast<int>(threadIdx.x) % kRowThreads;
  const std::int64_t start = row * columns;
  float along = 0;
  for (std::int64_t c = first; c < columns; c += kRowThreads) along += gy[start + c] * y[start + c];
  along = reduce_row<kRowThreads>(along, cuda::Sum());
  for (std::int64_t c = first; c < columns; c += kRowThreads) {
    const float g[1] = {y[start + c] * (gy[start + c] - along)};
    cuda::write_gradient(gx + start + c, beta, g);
  }
}

/// partial[b] = sum of the packets b, b + gridDim.x, ... of kThreads * kSize elements, in f64.
/// Mapping: a thread adds up its packets, then the block its threads. Shared memory: 64 bytes in block_reduce.
template <int kSize>
__global__ void __launch_bounds__(kThreads) sum_kernel(const float* x, double* partial, std::int64_t count) {
  double sum = 0;
  const std::int64_t step = gridDim.x * std::int64_t{kThreads} * kSize;
  for (std::int64_t at = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) * kSize; at < count; at += step) {
    if (at + kSize <= count) {
      float values[kSize];
      load_packet<kSize>(x + at, values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum += values[i];
    } else {
      for (std::int64_t i = at; i < count; ++i) sum += x[i];
    }
  }
  sum = cuda::block_reduce<kThreads>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// Mapping: one block. Shared memory: 64 bytes in block_reduce.
__global__ void __launch_bounds__(kThreads) sum_partial_kernel(const double* partial, int count, float* out) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += partial[i];
  sum = cuda::block_reduce<kThreads>(sum);
  if (threadIdx.x == 0) *out = static_cast<float>(sum);
}

constexpr int kTerms = 64;

struct Terms {
  const float* data[kTerms];
  float weight[kTerms];
  int count;
};

/// out[i] = (add ? out[i] : 0) + sum over t of weight[t] * data[t][i], in f64. Mapping: a thread owns an element.
__global__ void __launch_bounds__(kThreads) weighted_sum_kernel(Terms terms, float* out, std::int64_t count, bool add) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (index >= count) return;
  double sum = add ? out[index] : 0;
  for (int t = 0; t < terms.count; ++t) sum += static_cast<double>(terms.weight[t]) * terms.data[t][index];
  out[index] = static_cast<float>(sum);
}

constexpr std::int64_t kWarpColumns = 1024;  // longer rows get a block

/// Calls launch<kRowThreads>(blocks) as fits the rows.
template <class Launch>
void for_rows(const View& x, Launch&& launch) {
  if (x.size.numel() == 0) return;
  const std::int64_t columns = x.size[-1], rows = x.size.numel() / columns;
  if (columns <= kWarpColumns)
    launch.template operator()<kWarpSize>(cuda::blocks_for(rows, kThreads / kWarpSize), rows, columns);
  else
    launch.template operator()<kThreads>(static_cast<unsigned>(rows), rows, columns);
}

}  // namespace

void add_cuda(const View& x, const View& y, const View& out, StreamHandle stream) {
  const std::int64_t count = x.size.numel(), period = y.size.numel();
  if (count == 0) return;
  const auto launch = [&]<int kSize>() {
    cuda::launch<add_kernel<kSize>>({cuda::blocks_for(count, kThreads * kSize), kThreads, 0, stream},
                                    x.as<const float>(), y.as<const float>(), out.as<float>(), count, period);
  };
  constexpr int kPacket = kPacketSize<float>;
  const bool packets = period % kPacket == 0 && cuda::is_packet_aligned(x.data) && cuda::is_packet_aligned(y.data) &&
                       cuda::is_packet_aligned(out.data);
  packets ? launch.template operator()<kPacket>() : launch.template operator()<1>();
}

void relu_cuda(const View& x, const View& out, StreamHandle stream) {
  const std::int64_t count = x.size.numel();
  if (count == 0) return;
  const auto launch = [&]<int kSize>() {
    cuda::launch<relu_kernel<kSize>>({cuda::blocks_for(count, kThreads * kSize), kThreads, 0, stream},
                                     x.as<const float>(), out.as<float>(), count);
  };
  const bool packets = cuda::is_packet_aligned(x.data) && cuda::is_packet_aligned(out.data);
  packets ? launch.template operator()<kPacketSize<float>>() : launch.template operator()<1>();
}

void softmax_cuda(const View& x, const View& out, StreamHandle stream) {
  for_rows(x, [&]<int kRowThreads>(unsigned blocks, std::int64_t rows, std::int64_t columns) {
    cuda::launch<softmax_kernel<kRowThreads>>({blocks, kThreads, 0, stream}, x.as<const float>(), out.as<float>(), rows,
                                              columns);
  });
}

void softmax_backward_cuda(const View& gy, const View& y, const Gradient& gx, StreamHandle stream) {
  for_rows(y, [&]<int kRowThreads>(unsigned blocks, std::int64_t rows, std::int64_t columns) {
    cuda::launch<softmax_backward_kernel<kRowThreads>>({blocks, kThreads, 0, stream}, gy.as<const float>(),
                                                       y.as<const float>(), gx.to.as<float>(), gx.beta, rows, columns);
  });
}

void sum_all_cuda(const View& x, const View& partial, const View& out, StreamHandle stream) {
  const std::int64_t count = x.size.numel();
  const bool packets = cuda::is_packet_aligned(x.data);
  const std::int64_t wanted = (count + 4 * kThreads - 1) / (4 * kThreads);
  const auto blocks = static_cast<unsigned>(max(std::int64_t{1}, min(wanted, partial.size[0])));
  const auto launch = [&]<int kSize>() {
    cuda::launch<sum_kernel<kSize>>({blocks, kThreads, 0, stream}, x.as<const float>(), partial.as<double>(), count);
  };
  packets ? launch.template operator()<kPacketSize<float>>() : launch.template operator()<1>();
  cuda::launch<sum_partial_kernel>({1, kThreads, 0, stream}, partial.as<const double>(), static_cast<int>(blocks),
                                   out.as<float>());
}

void weighted_sum_cuda(const float* const* terms, const float* weights, int count, const View& out,
                       StreamHandle stream) {
  const std::int64_t elements = out.size.numel();
  if (elements == 0) return;
  for (int first = 0; first < count; first += kTerms) {
    Terms some{};
    some.count = min(kTerms, count - first);
    for (int t = 0; t < some.count; ++t) {
      some.data[t] = terms[first + t];
      some.weight[t] = weights[first + t];
    }
    cuda::launch<weighted_sum_kernel>({cuda::blocks_for(elements, kThreads), kThreads, 0, stream}, some,
                                      out.as<float>(), elements, first > 0);
  }
}

}  // namespace visage::ops::elementwise_detail
