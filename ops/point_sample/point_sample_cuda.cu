// Sampling images at points on the GPU, its gradients, and the choice of uncertain points. Sampling is bound by the
// latency of scattered reads, 4 a value, mostly from the L2 cache. Compiled for sm_80 and sm_90 and run on the host
// against the CPU code; not yet run or timed on a GPU.
#include "ops/gradient/gradient_kernels.h"
#include "ops/point_sample/corners.h"
#include "ops/point_sample/point_sample_kernels.h"
#include "tensor/cuda/atomic.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

using cuda::kAllLanes;
using cuda::kPacketSize;
using cuda::kWarpSize;
using cuda::load_packet;
using cuda::write_gradient;

constexpr int kThreads = 256;

/// Sizes of a launch; point_stride: elements from one image's points to the next.
struct Shape {
  std::int64_t height, width, points, point_stride;
  int channels;
  std::int64_t samples;  // of all images
};

Shape shape_of(const View& image, const View& points) {
  return {image.size[1],
          image.size[2],
          points.size[1],
          points.stride[0],
          static_cast<int>(image.size[3]),
          image.size[0] * points.size[1]};
}

/// Corners of sample i of all images.
__device__ __forceinline__ bool corners_of(const float* points, const Shape& shape, std::int64_t i, Corners& corners) {
  const std::int64_t image = i / shape.points;
  const float* at = points + image * shape.point_stride + 2 * (i - image * shape.points);
  return find_corners(at[0] * static_cast<float>(shape.width) - 0.5f, at[1] * static_cast<float>(shape.height) - 0.5f,
                      shape.height, shape.width, corners);
}

/// First element of pixel `pixel` of the image of sample i.
__device__ __forceinline__ std::int64_t start_of(const Shape& shape, std::int64_t i, std::int64_t pixel) {
  return (i / shape.points * shape.height * shape.width + pixel) * shape.channels;
}

template <int kSize, class T>
__device__ __forceinline__ void load_values(const T* from, float (&values)[kSize]) {
  if constexpr (sizeof(T) == 1)
    for (int i = 0; i < kSize; ++i) values[i] = static_cast<float>(from[i]);
  else
    load_packet<kSize>(from, values);
}

/// Mapping: a thread owns kSize channels of a sample, neighbours the channels of one sample. Shared memory: none.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    sample_kernel(const T* features, const float* points, float* out, Shape shape) {
  const int packets = shape.channels / kSize;
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x, i = index / packets;
  if (i >= shape.samples) return;
  const int channel = static_cast<int>(index - i * packets) * kSize;
  float sum[kSize] = {};
  Corners corners;
  if (corners_of(points, shape, i, corners)) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (corners.pixel[k] < 0) continue;
      float values[kSize];
      load_values<kSize>(features + start_of(shape, i, corners.pixel[k]) + channel, values);
      const float weight = corners.weight(k);
#pragma unroll
      for (int c = 0; c < kSize; ++c) sum[c] += weight * values[c];
    }
  }
  cuda::store_packet(out + i * shape.channels + channel, sum);
}

/// Calls use(element of the features, contribution) for what the thread's channel of its sample gives to four pixels.
template <class Use>
__device__ __forceinline__ void for_contributions(const float* gout, const float* points, const Shape& shape,
                                                  Use&& use) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x, i = index / shape.channels;
  Corners corners;
  if (i >= shape.samples || !corners_of(points, shape, i, corners)) return;
  const float g = gout[index];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (corners.pixel[k] < 0) continue;
    use(start_of(shape, i, corners.pixel[k]) + (index - i * shape.channels), corners.weight(k) * g);
  }
}

/// The fast form: sums by atomics in f32, whose order varies. Mapping: a thread owns a channel of a sample.
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const float* gout, const float* points, float* gfeatures, Shape shape) {
  for_contributions(gout, points, shape,
                    [&](std::int64_t at, float value) { cuda::atomic_add(gfeatures + at, value); });
}

// The deterministic form sums in 64-bit fixed point, where the order of the atomics does not matter: the largest
// magnitude in gout decides how many bits stand for the fraction, so that no sum of all points of an image overflows
// and none is rounded more coarsely than in f32. What is not finite goes the other way, where order does not matter to
// it.

/// largest = bits of the largest finite magnitude. Mapping: a thread takes every gridDim.x * kThreads-th element.
__global__ void __launch_bounds__(kThreads) largest_kernel(const float* values, std::int64_t count, int* largest) {
  float peak = 0;
  for (std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x; i < count;
       i += gridDim.x * std::int64_t{kThreads}) {
    const float magnitude = fabsf(values[i]);
    if (magnitude < INFINITY) peak = cuda::Max()(peak, magnitude);
  }
  peak = cuda::block_reduce<kThreads>(peak, cuda::Max());
  if (threadIdx.x == 0) atomicMax(largest, __float_as_int(peak));  // not negative: ordered like its bits
}

/// What stands for one: the power of two by which `points` values of at most the magnitude with the bits `largest` add
/// up to less than 2^62.
__device__ __forceinline__ float fixed_point_one(int largest, int point_bits) {
  const int exponent = max(largest >> 23, 1) - 126;  // largest < 2^exponent
  return __int_as_float((min(62 - exponent - point_bits, 126) + 127) << 23);
}

__global__ void __launch_bounds__(kThreads)
    scatter_fixed_kernel(const float* gout, const float* points, const int* largest, int point_bits,
                         unsigned long long* sums, float* gfeatures, Shape shape) {
  const float one = fixed_point_one(*largest, point_bits);
  for_contributions(gout, points, shape, [&](std::int64_t at, float value) {
    if (fabsf(value) < INFINITY)
      atomicAdd(sums + at, static_cast<unsigned long long>(llrintf(value * one)));
    else
      cuda::atomic_add(gfeatures + at, value);
  });
}

/// gfeatures += sums. Mapping: a thread owns an element.
__global__ void __launch_bounds__(kThreads)
    add_fixed_kernel(const long long* sums, const int* largest, int point_bits, float* gfeatures, std::int64_t count) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (index >= count || sums[index] == 0) return;
  gfeatures[index] += static_cast<float>(sums[index]) / fixed_point_one(*largest, point_bits);
}

/// Mapping: a group of kLanes lanes, a thread or a warp, owns a sample and adds up the products of its channels.
template <int kLanes>
__global__ void __launch_bounds__(kThreads)
    point_gradient_kernel(const float* gout, const float* features, const float* points, float* gpoints, float beta,
                          Shape shape) {
  const std::int64_t i = (blockIdx.x * std::int64_t{kThreads} + threadIdx.x) / kLanes;
  if (i >= shape.samples) return;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float at[4] = {};  // gout . features of each corner
  Corners corners{};
  if (corners_of(points, shape, i, corners)) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (corners.pixel[k] < 0) continue;
      const float* from = features + start_of(shape, i, corners.pixel[k]);
      for (int c = lane; c < shape.channels; c += kLanes) at[k] += gout[i * shape.channels + c] * from[c];
    }
  }
  if constexpr (kLanes > 1) {
#pragma unroll
    for (int k = 0; k < 4; ++k) at[k] = cuda::warp_reduce(at[k]);
  }
  if (lane != 0) return;
  const float gradient[2] = {static_cast<float>(shape.width) * corners.slope_x(at),
                             static_cast<float>(shape.height) * corners.slope_y(at)};
  write_gradient(gpoints + 2 * i, beta, gradient);
}

template <class T>
void sample(const PointSampleArgs& args, StreamHandle stream) {
  const Shape shape = shape_of(args.features, args.points);
  const auto launch = [&]<int kSize>() {
    cuda::launch<sample_kernel<T, kSize>>(
        {cuda::blocks_for(shape.samples * (shape.channels / kSize), kThreads), kThreads, 0, stream},
        args.features.as<const T>(), args.points.as<const float>(), args.out.as<float>(), shape);
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    if (shape.channels % kPacketSize<T> == 0 && cuda::is_packet_aligned(args.features.data) &&
        cuda::is_packet_aligned(args.out.data))
      return launch.template operator()<kPacketSize<T>>();
  }
  launch.template operator()<1>();
}

void scatter(const PointSampleBackwardArgs& args, const Shape& shape, StreamHandle stream) {
  const View& to = args.gfeatures.to;
  if (to.size.numel() == 0) return;
  if (args.gfeatures.beta == 0) gradient_detail::clear_cuda(to, stream);
  const std::int64_t count = shape.samples * shape.channels;
  if (count == 0) return;
  const float *gout = args.gout.as<const float>(), *points = args.points.as<const float>();
  const unsigned blocks = cuda::blocks_for(count, kThreads);
  if (!args.sums) {
    cuda::launch<scatter_kernel>({blocks, kThreads, 0, stream}, gout, points, to.as<float>(), shape);
    return;
  }
  gradient_detail::clear_cuda(args.sums, stream);
  gradient_detail::clear_cuda(args.largest, stream);
  int* largest = args.largest.as<int>();
  int point_bits = 0;  // a point adds to a pixel once at most
  while (std::int64_t{1} << point_bits < shape.points) ++point_bits;
  cuda::launch<largest_kernel>({min(blocks, 1024u), kThreads, 0, stream}, gout, count, largest);
  cuda::launch<scatter_fixed_kernel>({blocks, kThreads, 0, stream}, gout, points, largest, point_bits,
                                     args.sums.as<unsigned long long>(), to.as<float>(), shape);
  cuda::launch<add_fixed_kernel>({cuda::blocks_for(to.size.numel(), kThreads), kThreads, 0, stream},
                                 args.sums.as<const long long>(), largest, point_bits, to.as<float>(), to.size.numel());
}

constexpr int kChoiceThreads = 1024;

/// Order of a candidate: bits of |logit|, which are ordered like it. What is not a number comes last.
__device__ __forceinline__ unsigned uncertainty(float logit) {
  const float distance = fabsf(logit);
  return __float_as_uint(distance <= INFINITY ? distance : INFINITY);
}

/// The `wanted`-th smallest key (from 1), and how many keys equal to it are among the smallest `wanted`.
struct Threshold {
  unsigned key;
  int equal;
};

/// Radix selection, eight bits at a time: a histogram of the keys that begin as the result does, then warp 0 finds the
/// bin. All threads of the block take part. Shared memory: 1032 bytes.
__device__ Threshold find_threshold(const float* logits, int count, int wanted) {
  VISAGE_SHARED(int, histogram, [256]);
  VISAGE_SHARED(Threshold, found, [1]);
  const int thread = static_cast<int>(threadIdx.x);
  unsigned prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (thread < 256) histogram[thread] = 0;
    __syncthreads();
    for (int i = thread; i < count; i += kChoiceThreads) {
      const unsigned key = uncertainty(logits[i]);
      if (shift == 24 || key >> (shift + 8) == prefix) atomicAdd(&histogram[(key >> shift) & 255], 1);
    }
    __syncthreads();
    if (thread < kWarpSize) {
      constexpr int kBins = 256 / kWarpSize;  // of a lane
      int own = 0;
      for (int b = 0; b < kBins; ++b) own += histogram[thread * kBins + b];
      int before = own;
      for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const int other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(distance));
        if (thread >= distance) before += other;
      }
      before -= own;  // keys in the bins of earlier lanes
      if (before < wanted && wanted <= before + own) {
        int bin = thread * kBins;
        while (before + histogram[bin] < wanted) before += histogram[bin++];
        found[0] = {prefix << 8 | static_cast<unsigned>(bin), wanted - before};
      }
    }
    __syncthreads();
    prefix = found[0].key;
    wanted = found[0].equal;
    // The next digit overwrites found[0] only after two more barriers.
  }
  return {prefix, wanted};
}

/// Mapping: a block owns a mask. It finds the keep-th smallest |logit|, then walks the candidates in order, one a
/// thread, and counts with ballots how many chosen ones come before: those below the threshold and the first ones equal
/// to it, the same as on the CPU. Then it copies the random points. Bound by five passes over the logits in the L2
/// cache. Shared memory: 1160 bytes.
__global__ void __launch_bounds__(kChoiceThreads)
    uncertain_kernel(const float* logits, const float2* candidates, const float2* random, float2* out, int count,
                     int random_count, int keep) {
  VISAGE_SHARED(int2, chunk_counts, [kChoiceThreads / kWarpSize]);
  const std::int64_t mask = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize, warp = thread / kWarpSize;
  logits += mask * count;
  candidates += mask * count;
  random += mask * random_count;
  out += mask * (keep + random_count);
  for (int i = thread; i < random_count; i += kChoiceThreads) out[keep + i] = random[i];
  if (keep == 0) return;  // the whole block
  const Threshold threshold = find_threshold(logits, count, keep);
  int below = 0, equal = 0;  // before this chunk
  for (int start = 0; start < count; start += kChoiceThreads) {
    const int i = start + thread;
    const unsigned key = i < count ? uncertainty(logits[i]) : ~0u;
    const unsigned is_below = __ballot_sync(kAllLanes, key < threshold.key);
    const unsigned is_equal = __ballot_sync(kAllLanes, i < count && key == threshold.key);
    if (lane == 0) chunk_counts[warp] = make_int2(__popc(is_below), __popc(is_equal));
    __syncthreads();
    const unsigned earlier = (1u << lane) - 1;
    int below_before = below + __popc(is_below & earlier), equal_before = equal + __popc(is_equal & earlier);
    for (int w = 0; w < kChoiceThreads / kWarpSize; ++w) {
      const int2 counts = chunk_counts[w];
      if (w < warp) {
        below_before += counts.x;
        equal_before += counts.y;
      }
      below += counts.x;
      equal += counts.y;
    }
    const bool chosen = key < threshold.key || ((is_equal >> lane & 1) && equal_before < threshold.equal);
    if (chosen) out[below_before + min(equal_before, threshold.equal)] = candidates[i];
    __syncthreads();
  }
}

}  // namespace

void point_sample_cuda(const PointSampleArgs& args, StreamHandle stream) {
  if (args.out.size.numel() == 0) return;
  args.features.dtype == DType::f32 ? sample<float>(args, stream) : sample<std::uint8_t>(args, stream);
}

void point_sample_backward_cuda(const PointSampleBackwardArgs& args, StreamHandle stream) {
  const Shape shape = shape_of(args.features, args.points);
  if (args.gfeatures) scatter(args, shape, stream);
  if (!args.gpoints || shape.samples == 0) return;
  const auto launch = [&]<int kLanes>() {
    cuda::launch<point_gradient_kernel<kLanes>>(
        {cuda::blocks_for(shape.samples, kThreads / kLanes), kThreads, 0, stream}, args.gout.as<const float>(),
        args.features.as<const float>(), args.points.as<const float>(), args.gpoints.to.as<float>(), args.gpoints.beta,
        shape);
  };
  shape.channels == 1 ? launch.template operator()<1>() : launch.template operator()<kWarpSize>();
}

void uncertain_points_cuda(const UncertainPointsArgs& args, StreamHandle stream) {
  if (args.out.size.numel() == 0) return;
  const std::int64_t random = args.random.size[1], keep = args.out.size[1] - random;
  cuda::launch<uncertain_kernel>(
      {static_cast<unsigned>(args.out.size[0]), kChoiceThreads, 0, stream}, args.logits.as<const float>(),
      args.candidates.as<const float2>(), args.random.as<const float2>(), args.out.as<float2>(),
      static_cast<int>(args.candidates.size[1]), static_cast<int>(random), static_cast<int>(keep));
}

}  // namespace visage::ops
