// Optimizer steps on the GPU: one launch for all tensors of a model, over a list of pieces of them. All kernels are
// bound by memory bandwidth: 28 bytes an element of AdamW, 4 of the norm, 12 of the moving average, 16 at a time where
// the piece is aligned. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a
// GPU.
#include "ops/optim/optim_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

using cuda::load_packet;
using cuda::store_packet;

constexpr int kThreads = 256;
constexpr int kParts = kNormParts;  // blocks a span: 16 Ki elements each, a few waves of blocks for a whole model
constexpr int kPacket = cuda::kPacketSize<float>;

__device__ __forceinline__ bool is_aligned(const float* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
}

/// Elements that this block takes of a span of `count`; the bounds are multiples of a packet except at the span's end.
struct Part {
  std::int64_t begin, end;

  __device__ __forceinline__ explicit Part(std::int64_t count) {
    const std::int64_t share = (count + kParts * kPacket - 1) / (kParts * kPacket) * kPacket;
    begin = min(blockIdx.x % kParts * share, count);
    end = min(begin + share, count);
  }

  /// fn<kSize>(offset) for this thread's packets, and for its single elements behind them.
  template <class Fn>
  __device__ __forceinline__ void each(bool packets, Fn&& fn) const {
    const std::int64_t whole = packets ? begin + (end - begin) / kPacket * kPacket : begin;
    for (std::int64_t i = begin + threadIdx.x * kPacket; i < whole; i += kThreads * kPacket)
      fn.template operator()<kPacket>(i);
    for (std::int64_t i = whole + threadIdx.x; i < end; i += kThreads) fn.template operator()<1>(i);
  }
};

/// Mapping: kParts blocks a span, a thread every kThreads-th packet of its part. Without a finite clip coefficient
/// nothing is written. Shared memory: none.
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(const AdamWSpan* spans, const double* clip, float beta1, float rest1, float beta2, float rest2,
                 float root, float eps, float gradient_scale) {
  const AdamWSpan span = spans[blockIdx.x / kParts];
  float scale = gradient_scale;
  if (clip) {
    const double coefficient = clip[1];
    if (!isfinite(coefficient)) return;
    scale = static_cast<float>(coefficient * static_cast<double>(gradient_scale));
  }
  const bool packets = is_aligned(span.parameter) && is_aligned(span.gradient) && is_aligned(span.exp_avg) &&
                       is_aligned(span.exp_avg_sq);
  Part(span.count).each(packets, [&]<int kSize>(std::int64_t at) {
    float p[kSize], g[kSize], mean[kSize], square[kSize];
    load_packet(span.gradient + at, g);
    load_packet(span.exp_avg + at, mean);
    load_packet(span.exp_avg_sq + at, square);
    load_packet(span.parameter + at, p);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float scaled = scale * g[i];
      mean[i] = beta1 * mean[i] + rest1 * scaled;
      square[i] = beta2 * square[i] + rest2 * (scaled * scaled);
      p[i] = span.keep * p[i] - span.rate * (mean[i] / (sqrtf(square[i]) / root + eps));
    }
    store_packet(span.exp_avg + at, mean);
    store_packet(span.exp_avg_sq + at, square);
    store_packet(span.parameter + at, p);
  });
}

/// Mapping as adamw_kernel; a block leaves one sum, in f64, which does not overflow on squares of f32. The order of
/// summation depends on the sizes alone. Shared memory: 64 bytes in block_reduce.
__global__ void __launch_bounds__(kThreads) squares_kernel(const FloatSpan* spans, double* partial) {
  const FloatSpan span = spans[blockIdx.x / kParts];
  double sum = 0;
  Part(span.count).each(is_aligned(span.data), [&]<int kSize>(std::int64_t at) {
    float x[kSize];
    load_packet(span.data + at, x);
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  });
  sum = cuda::block_reduce<kThreads>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// One block adds up the sums of all blocks.
__global__ void __launch_bounds__(kThreads)
    norm_kernel(const double* partial, std::int64_t count, double max_norm, double* result) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
  sum = cuda::block_reduce<kThreads>(sum);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(sum);
  const double coefficient = max_norm / (norm + 1e-6);
  result[0] = norm;
  // Of an infinite norm NaN, so that one test of the coefficient is enough.
  result[1] = isfinite(norm) ? (coefficient < 1 ? coefficient : 1) : norm - norm;
}

/// Mapping as adamw_kernel.
__global__ void __launch_bounds__(kThreads) moving_average_kernel(const AverageSpan* spans, float share) {
  const AverageSpan span = spans[blockIdx.x / kParts];
  Part(span.count).each(is_aligned(span.average) && is_aligned(span.value), [&]<int kSize>(std::int64_t at) {
    float average[kSize], value[kSize];
    load_packet(span.average + at, average);
    load_packet(span.value + at, value);
#pragma unroll
    for (int i = 0; i < kSize; ++i) average[i] += share * (value[i] - average[i]);
    store_packet(span.average + at, average);
  });
}

unsigned blocks_of(std::int64_t spans) { return static_cast<unsigned>(spans * kParts); }

}  // namespace

void adamw_cuda(const AdamWArgs& args, StreamHandle stream) {
  if (args.count == 0) return;
  cuda::launch<adamw_kernel>({blocks_of(args.count), kThreads, 0, stream}, args.spans, args.clip, args.beta1,
                             args.rest1, args.beta2, args.rest2, args.root, args.eps, args.gradient_scale);
}

void norm_cuda(const FloatSpan* spans, std::int64_t count, double max_norm, double* partial, double* result,
               StreamHandle stream) {
  if (count > 0) cuda::launch<squares_kernel>({blocks_of(count), kThreads, 0, stream}, spans, partial);
  cuda::launch<norm_kernel>({1, kThreads, 0, stream}, partial, count * kParts, max_norm, result);
}

void moving_average_cuda(const AverageSpan* spans, std::int64_t count, float share, StreamHandle stream) {
  if (count == 0) return;
  cuda::launch<moving_average_kernel>({blocks_of(count), kThreads, 0, stream}, spans, share);
}

}  // namespace visage::ops
