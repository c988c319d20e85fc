// Bilinear resizing on the GPU. Bound by memory bandwidth: the result is written once, its sources are read once from
// memory and otherwise from the caches, as neighbours share them. Compiled for sm_80 and sm_90 and run on the host
// against the CPU code; not yet run or timed on a GPU.
//
// Mapping of all kernels: consecutive blocks of kThreads threads cover a row of pixels, thread after thread kSize
// channels of a pixel, the channels of one pixel after those of the other. Shared memory: none.
#include "ops/resize/bilinear.h"
#include "ops/resize/resize_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops {
namespace {

using cuda::kPacketSize;
using cuda::load_packet;
using cuda::store_packet;
using cuda::write_gradient;

constexpr int kThreads = 128;

/// Size and strides in elements of images [N, H, W, C].
struct Image {
  int height, width;
  std::int64_t image_stride, row_stride, pixel_stride;
};

Image image_of(const View& v) {
  return {static_cast<int>(v.size[1]), static_cast<int>(v.size[2]), v.stride[0], v.stride[1], v.stride[2]};
}

/// The pixels that a launch writes, and what a thread owns of them.
struct Rows {
  int height, width, packets;  // of one pixel
  unsigned blocks;             // of one row

  Rows() = default;
  Rows(const View& v, int size)
      : height(static_cast<int>(v.size[1])),
        width(static_cast<int>(v.size[2])),
        packets(static_cast<int>(v.size[3]) / size),
        blocks(cuda::blocks_for(std::int64_t{width} * packets, kThreads)) {}
  unsigned all_blocks(std::int64_t images) const { return static_cast<unsigned>(images * height * blocks); }
};

struct Place {
  std::int64_t image;
  int y, x, channel;
  __device__ Place(const Rows& rows, int size) : Place(rows, blockIdx.x, size) {}
  __device__ Place(const Rows& rows, unsigned block, int size) {
    const int row = static_cast<int>(block / rows.blocks);
    const int at = static_cast<int>(block % rows.blocks) * kThreads + static_cast<int>(threadIdx.x);
    image = row / rows.height;
    y = row % rows.height;
    x = at / rows.packets;
    channel = at % rows.packets * size;
  }
};

/// out = (kAdd ? out : 0) + x resized to the size of out.
template <bool kAdd, class In, class Out, int kSize>
__global__ void __launch_bounds__(kThreads) resize_kernel(const In* in, Image from, Out* out, Image to, Rows rows) {
  const Place own(rows, kSize);
  if (own.x >= to.width) return;
  const BilinearTap y = bilinear_tap(own.y, from.height, to.height), x = bilinear_tap(own.x, from.width, to.width);
  const In* image = in + own.image * from.image_stride + own.channel;
  const std::int64_t top = y.lower * from.row_stride, bottom = y.upper * from.row_stride;
  const std::int64_t left = x.lower * from.pixel_stride, right = x.upper * from.pixel_stride;
  float a[kSize], b[kSize], c[kSize], d[kSize];
  load_packet<kSize>(image + top + left, a);
  load_packet<kSize>(image + top + right, b);
  load_packet<kSize>(image + bottom + left, c);
  load_packet<kSize>(image + bottom + right, d);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    a[i] = (1 - y.weight) * (1 - x.weight) * a[i] + (1 - y.weight) * x.weight * b[i] +
           y.weight * (1 - x.weight) * c[i] + y.weight * x.weight * d[i];
  }
  Out* target = out + own.image * to.image_stride + own.y * to.row_stride + own.x * to.pixel_stride + own.channel;
  write_gradient(target, kAdd ? 1.f : 0.f, a);
}

/// The weight with which an output index reads the input index `in`.
__device__ __forceinline__ float weight_on(int out, int in, int in_size, int out_size) {
  const BilinearTap tap = bilinear_tap(out, in_size, out_size);
  return (tap.lower == in ? 1 - tap.weight : 0.f) + (tap.upper == in ? tap.weight : 0.f);
}

/// The output indices that can read the input index `in`, and a neighbour on either side against rounding.
struct Readers {
  int first, last;
  __device__ Readers(int in, int in_size, int out_size) {
    const float scale = static_cast<float>(out_size) / static_cast<float>(in_size);
    first = max(0, static_cast<int>((static_cast<float>(in) - 0.5f) * scale - 0.5f) - 1);
    last = min(out_size - 1, static_cast<int>((static_cast<float>(in) + 1.5f) * scale - 0.5f) + 1);
  }
};

/// gx = beta * gx + what every input pixel gets from the outputs that read it, gathered row by row: each element has
/// one writer and a fixed order of summation.
template <int kSize>
__global__ void __launch_bounds__(kThreads, 4)
    resize_backward_kernel(const float* gout, Image out, float* gx, Image in, Rows rows, float beta) {
  const Place own(rows, kSize);
  if (own.x >= in.width) return;
  const Readers readers_y(own.y, in.height, out.height), readers_x(own.x, in.width, out.width);
  const float* image = gout + own.image * out.image_stride + own.channel;
  float sum[kSize] = {};
  for (int y = readers_y.first; y <= readers_y.last; ++y) {
    const float weight_y = weight_on(y, own.y, in.height, out.height);
    if (weight_y == 0) continue;
    for (int x = readers_x.first; x <= readers_x.last; ++x) {
      const float weight = weight_y * weight_on(x, own.x, in.width, out.width);
      if (weight == 0) continue;
      float g[kSize];
      load_packet<kSize>(image + y * out.row_stride + x * out.pixel_stride, g);
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum[i] += weight * g[i];
    }
  }
  write_gradient(gx + own.image * in.image_stride + own.y * in.row_stride + own.x * in.pixel_stride + own.channel, beta,
                 sum);
}

/// What pool_center writes, ratio after ratio. The pointers are not arguments of their own.
struct Cells {
  void* out[kMostRatios];
  int ratio[kMostRatios];
  Rows rows[kMostRatios];
  unsigned first_block[kMostRatios];
  int count;
};

/// Mean of the four centre pixels of a cell: what resizing by an even ratio comes to.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    pool_center_kernel(const T* in, Image from, const __grid_constant__ Cells cells) {
  int map = 0;
  while (map + 1 < cells.count && blockIdx.x >= cells.first_block[map + 1]) ++map;
  const Rows& rows = cells.rows[map];
  const Place own(rows, blockIdx.x - cells.first_block[map], kSize);
  if (own.x >= rows.width) return;
  const int ratio = cells.ratio[map];
  const T* const first = in + own.image * from.image_stride + (own.y * ratio + ratio / 2 - 1) * from.row_stride +
                         (own.x * ratio + ratio / 2 - 1) * from.pixel_stride + own.channel;
  float sum[kSize] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float values[kSize];
    load_packet<kSize>(first + i / 2 * from.row_stride + i % 2 * from.pixel_stride, values);
#pragma unroll
    for (int c = 0; c < kSize; ++c) sum[c] += 0.25f * values[c];
  }
  const std::int64_t pixel = (own.image * rows.height + own.y) * rows.width + own.x;
  store_packet(static_cast<T*>(cells.out[map]) + pixel * rows.packets * kSize + own.channel, sum);
}

bool in_packets(int packet, const View& v) {
  return v.size[3] % packet == 0 && v.stride[0] % packet == 0 && v.stride[1] % packet == 0 &&
         v.stride[2] % packet == 0 && cuda::is_packet_aligned(v.data);
}

template <bool kAdd, class In, class Out>
void resize(const ResizeArgs& args, StreamHandle stream) {
  if (args.out.size.numel() == 0) return;
  const auto launch = [&]<int kSize>() {
    const Rows rows(args.out, kSize);
    cuda::launch<resize_kernel<kAdd, In, Out, kSize>>({rows.all_blocks(args.out.size[0]), kThreads, 0, stream},
                                                      args.x.as<const In>(), image_of(args.x), args.out.as<Out>(),
                                                      image_of(args.out), rows);
  };
  constexpr int kPacket = kPacketSize<In> < kPacketSize<Out> ? kPacketSize<In> : kPacketSize<Out>;
  const bool packets = in_packets(kPacket, args.x) && in_packets(kPacket, args.out);
  packets ? launch.template operator()<kPacket>() : launch.template operator()<1>();
}

template <class T, int kSize>
void pool_center(const PoolCenterArgs* args, int ratios, StreamHandle stream) {
  Cells cells{};
  cells.count = ratios;
  unsigned blocks = 0;
  for (int i = 0; i < ratios; ++i) {
    cells.out[i] = args[i].out.data;
    cells.ratio[i] = static_cast<int>(args[i].ratio);
    cells.rows[i] = Rows(args[i].out, kSize);
    cells.first_block[i] = blocks;
    blocks += cells.rows[i].all_blocks(args[i].out.size[0]);
  }
  cuda::launch<pool_center_kernel<T, kSize>>({blocks, kThreads, 0, stream}, args[0].x.as<const T>(),
                                             image_of(args[0].x), cells);
}

}  // namespace

void resize_bilinear_cuda(const ResizeArgs& args, StreamHandle stream) { resize<false, float, float>(args, stream); }

void resize_bilinear_backward_cuda(const ResizeBackwardArgs& args, StreamHandle stream) {
  const View& gx = args.gx.to;
  if (!args.gx || gx.size.numel() == 0) return;
  const auto launch = [&]<int kSize>() {
    const Rows rows(gx, kSize);
    cuda::launch<resize_backward_kernel<kSize>>({rows.all_blocks(gx.size[0]), kThreads, 0, stream},
                                                args.gout.as<const float>(), image_of(args.gout), gx.as<float>(),
                                                image_of(gx), rows, args.gx.beta);
  };
  constexpr int kPacket = kPacketSize<float>;
  const bool packets = in_packets(kPacket, args.gout) && in_packets(kPacket, gx);
  packets ? launch.template operator()<kPacket>() : launch.template operator()<1>();
}

void upsample2x_add_cuda(const ResizeArgs& args, StreamHandle stream) {
  cuda::for_f32_or_bf16(args.x.dtype, [&]<class In>(In) {
    cuda::for_f32_or_bf16(args.out.dtype, [&]<class Out>(Out) { resize<true, In, Out>(args, stream); });
  });
}

void pool_center_cuda(const PoolCenterArgs* args, int ratios, StreamHandle stream) {
  if (args[0].out.size.numel() == 0) return;
  cuda::for_f32_or_bf16(args[0].x.dtype, [&]<class T>(T) {
    constexpr int kPacket = kPacketSize<T>;
    const bool packets = in_packets(kPacket, args[0].x);
    packets ? pool_center<T, kPacket>(args, ratios, stream) : pool_center<T, 1>(args, ratios, stream);
  });
}

}  // namespace visage::ops
