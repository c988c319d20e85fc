// Maximum pooling of NHWC images on the GPU. Bound by memory bandwidth: neighbouring windows share their pixels through
// the cache, so that x is read about once and y written once; the backward reads x once more to find the places of the
// maxima, a byte each, and then every input pixel collects from the few windows that hold it: no atomics, the order of
// summation is fixed. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a
// GPU.
#include "ops/conv/max_pool2d_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops::max_pool2d_detail {
namespace {

constexpr int kThreads = 256;

struct Geometry {
  int height, width, out_height, out_width;
  int packets;  // of a pixel's channels
  int kernel, stride, padding;
};

/// Which packet of channels of which pixel a thread owns.
struct Place {
  std::int64_t image;
  int row, column, packet;
};
__device__ __forceinline__ Place place_of(std::int64_t index, int packets, int height, int width) {
  Place at;
  at.packet = static_cast<int>(index % packets);
  index /= packets;
  at.column = static_cast<int>(index % width);
  index /= width;
  at.row = static_cast<int>(index % height);
  at.image = index / height;
  return at;
}

/// Mapping of both kernels over windows: a thread owns kSize channels of one output pixel and walks over its window,
/// rows first; a later maximum must be larger to count. Shared memory: none.
template <class T, int kSize>
struct Window {
  float best[kSize] = {};
  int where[kSize] = {};  // row * kernel + column in the window

  __device__ __forceinline__ void search(const T* x, const Place& at, const Geometry& g) {
    const int top = at.row * g.stride - g.padding, left = at.column * g.stride - g.padding;
    const int bottom = min(top + g.kernel, g.height), right = min(left + g.kernel, g.width);
    bool first = true;
    for (int i = max(top, 0); i < bottom; ++i) {
      for (int j = max(left, 0); j < right; ++j) {
        const std::int64_t pixel = (at.image * g.height + i) * g.width + j;
        float values[kSize];
        cuda::load_packet<kSize>(x + (pixel * g.packets + at.packet) * kSize, values);
        const int here = (i - top) * g.kernel + j - left;
#pragma unroll
        for (int c = 0; c < kSize; ++c) {
          const bool larger = first || values[c] > best[c];
          best[c] = larger ? values[c] : best[c];
          where[c] = larger ? here : where[c];
        }
        first = false;
      }
    }
  }
};

template <class T, int kSize>
__global__ void __launch_bounds__(kThreads) forward_kernel(const T* x, T* y, std::int64_t count, Geometry g) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (index >= count) return;
  Window<T, kSize> window;
  window.search(x, place_of(index, g.packets, g.out_height, g.out_width), g);
  cuda::store_packet(y + index * kSize, window.best);
}

template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    find_places_kernel(const T* x, std::uint8_t* places, std::int64_t count, Geometry g) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (index >= count) return;
  Window<T, kSize> window;
  window.search(x, place_of(index, g.packets, g.out_height, g.out_width), g);
  cuda::Packet<std::uint8_t, kSize> found;
#pragma unroll
  for (int c = 0; c < kSize; ++c) found.element[c] = static_cast<std::uint8_t>(window.where[c]);
  *reinterpret_cast<cuda::Packet<std::uint8_t, kSize>*>(places + index * kSize) = found;
}

/// Mapping: a thread owns kSize channels of one input pixel and visits the windows that hold it, rows first.
/// Shared memory: none.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    collect_kernel(const T* gy, const std::uint8_t* places, T* gx, float beta, std::int64_t count, Geometry g) {
  const std::int64_t index = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (index >= count) return;
  const Place at = place_of(index, g.packets, g.height, g.width);
  const int row = at.row + g.padding, column = at.column + g.padding;
  const int first_row = row < g.kernel ? 0 : (row - g.kernel) / g.stride + 1;
  const int first_column = column < g.kernel ? 0 : (column - g.kernel) / g.stride + 1;
  const int last_row = min(row / g.stride, g.out_height - 1), last_column = min(column / g.stride, g.out_width - 1);
  float sum[kSize] = {};
  for (int r = first_row; r <= last_row; ++r) {
    for (int q = first_column; q <= last_column; ++q) {
      const std::int64_t pixel = (at.image * g.out_height + r) * g.out_width + q;
      const std::int64_t start = (pixel * g.packets + at.packet) * kSize;
      const auto place = *reinterpret_cast<const cuda::Packet<std::uint8_t, kSize>*>(places + start);
      float values[kSize];
      cuda::load_packet<kSize>(gy + start, values);
      const int here = (row - r * g.stride) * g.kernel + column - q * g.stride;
#pragma unroll
      for (int c = 0; c < kSize; ++c) sum[c] += place.element[c] == here ? values[c] : 0.f;
    }
  }
  cuda::write_gradient(gx + index * kSize, beta, sum);
}

/// f32 and bf16: the op refuses every other type.
template <class Fn>
void for_pooled_dtype(DType dtype, Fn&& fn) {
  dtype == DType::bf16 ? fn(__nv_bfloat16{}) : fn(float{});
}

template <class Arguments>
Geometry geometry_of(const Arguments& args, const View& y, int packet) {
  const auto length = [](std::int64_t size) { return static_cast<int>(size); };
  return {length(args.x.size[1]),
          length(args.x.size[2]),
          length(y.size[1]),
          length(y.size[2]),
          length(y.size[3]) / packet,
          args.kernel,
          args.stride,
          args.padding};
}

template <class T, int kSize>
void forward(const Forward& args, StreamHandle stream) {
  const std::int64_t count = args.y.size.numel() / kSize;
  cuda::launch<forward_kernel<T, kSize>>({cuda::blocks_for(count, kThreads), kThreads, 0, stream}, args.x.as<const T>(),
                                         args.y.as<T>(), count, geometry_of(args, args.y, kSize));
}

template <class T, int kSize>
void backward(const Backward& args, StreamHandle stream) {
  const Geometry geometry = geometry_of(args, args.gy, kSize);
  const std::int64_t windows = args.gy.size.numel() / kSize, pixels = args.x.size.numel() / kSize;
  cuda::launch<find_places_kernel<T, kSize>>({cuda::blocks_for(windows, kThreads), kThreads, 0, stream},
                                             args.x.as<const T>(), args.place.as<std::uint8_t>(), windows, geometry);
  cuda::launch<collect_kernel<T, kSize>>({cuda::blocks_for(pixels, kThreads), kThreads, 0, stream},
                                         args.gy.as<const T>(), args.place.as<const std::uint8_t>(), args.gx.to.as<T>(),
                                         args.gx.beta, pixels, geometry);
}

}  // namespace

void forward_cuda(const Forward& args, StreamHandle stream) {
  if (args.y.size.numel() == 0) return;
  for_pooled_dtype(args.x.dtype, [&]<class T>(T) {
    constexpr int kSize = cuda::kPacketSize<T>;
    const bool packets =
        args.x.size[3] % kSize == 0 && cuda::is_packet_aligned(args.x.data) && cuda::is_packet_aligned(args.y.data);
    packets ? forward<T, kSize>(args, stream) : forward<T, 1>(args, stream);
  });
}

void backward_cuda(const Backward& args, StreamHandle stream) {
  if (!args.gx || args.x.size.numel() == 0) return;
  for_pooled_dtype(args.x.dtype, [&]<class T>(T) {
    constexpr int kSize = cuda::kPacketSize<T>;
    const bool packets = args.x.size[3] % kSize == 0 && cuda::is_packet_aligned(args.x.data) &&
                         cuda::is_packet_aligned(args.gy.data) && cuda::is_packet_aligned(args.gx.to.data);
    packets ? backward<T, kSize>(args, stream) : backward<T, 1>(args, stream);
  });
}

}  // namespace visage::ops::max_pool2d_detail
