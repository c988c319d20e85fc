// What follows a convolution whose epilogue cuDNN could not fuse. Bound by memory bandwidth: reads the product (and the
// residual) and writes the result once. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet
// run or timed on a GPU.
#include "ops/conv/conv2d_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops::conv2d_detail {
namespace {

constexpr int kThreads = 256;

/// Mapping: a thread owns kSize consecutive channels of one pixel; kSize divides the channels. Shared memory: none.
template <class P, class Y, int kSize>
__global__ void __launch_bounds__(kThreads) epilogue_kernel(const P* product, const float* bias, Y* y,
                                                            std::int64_t packets, int channels, bool relu, bool adds) {
  const std::int64_t packet = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (packet >= packets) return;
  const std::int64_t start = packet * kSize;
  float values[kSize];
  cuda::load_packet<kSize>(product + start, values);
  if (bias) {
    const int channel = static_cast<int>(start % channels);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += bias[channel + i];
  }
  if (adds) {
    float residual[kSize];
    cuda::load_packet<kSize>(y + start, residual);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += residual[i];
  }
  if (relu) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] = values[i] > 0.f ? values[i] : 0.f;
  }
  cuda::store_packet(y + start, values);
}

template <class P, class Y, int kSize>
void launch_epilogue(const Epilogue& args, StreamHandle stream) {
  const std::int64_t packets = args.y.size.numel() / kSize;
  cuda::launch<epilogue_kernel<P, Y, kSize>>({cuda::blocks_for(packets, kThreads), kThreads, 0, stream},
                                             args.product.as<const P>(), args.bias.as<const float>(), args.y.as<Y>(),
                                             packets, static_cast<int>(args.y.size[-1]), args.relu, args.adds);
}

}  // namespace

void epilogue_cuda(const Epilogue& args, StreamHandle stream) {
  if (args.y.size.numel() == 0) return;
  cuda::for_dtype(args.product.dtype, [&]<class P>(P) {
    cuda::for_dtype(args.y.dtype, [&]<class Y>(Y) {
      constexpr int kSize = 16 / static_cast<int>(sizeof(P) > sizeof(Y) ? sizeof(P) : sizeof(Y));
      const bool packets = args.y.size[-1] % kSize == 0 && cuda::is_packet_aligned(args.product.data) &&
                           cuda::is_packet_aligned(args.y.data);
      packets ? launch_epilogue<P, Y, kSize>(args, stream) : launch_epilogue<P, Y, 1>(args, stream);
    });
  });
}

}  // namespace visage::ops::conv2d_detail
