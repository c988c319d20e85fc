// Layer normalisation on the GPU. All kernels are bound by memory bandwidth: forward reads x (and residual) and writes
// y once; backward reads gy and x twice, the second time from the cache, and writes gx once; the parameter gradients
// read gy and x once more. Compiled for sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/norm/layer_norm_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::layer_norm_detail {
namespace {

using cuda::kPacketSize;
using cuda::kWarpSize;
using cuda::load_packet;
using cuda::store_packet;
using cuda::write_gradient;

constexpr int kThreads = 128;                    // warp kernels: four rows a block
constexpr int kRowThreads = 256;                 // row kernel: one row a block
constexpr int kTileColumns = 32, kTileRows = 8;  // parameter gradients: a warp covers 32 channels of one row

/// Elements of one row, kSize at a time; `residual` may be null.
template <int kSize, class T>
__device__ __forceinline__ void load_sum(const T* x, const T* residual, std::int64_t at, float (&values)[kSize]) {
  load_packet<kSize>(x + at, values);
  if (!residual) return;
  float added[kSize];
  load_packet<kSize>(residual + at, added);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] += added[i];
}

/// Mapping: a warp owns a row; lane l holds packets l, l + 32, ... of it in registers, so x is read once.
/// Needs C to be a multiple of the packet, at most 32 kPackets packets, and 16-byte aligned rows. Shared memory: none.
template <class T, int kPackets>
__global__ void __launch_bounds__(kThreads)
    forward_warp_kernel(const T* x, const T* residual, const float* weight, const float* bias, T* y, float* mean_out,
                        float* rstd_out, std::int64_t rows, int channels, float eps) {
  constexpr int kSize = kPacketSize<T>;
  const std::int64_t row = blockIdx.x * std::int64_t{kThreads / kWarpSize} + threadIdx.x / kWarpSize;
  if (row >= rows) return;  // the whole warp leaves
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const std::int64_t start = row * channels;
  float values[kPackets][kSize];
  float sum = 0;
#pragma unroll
  for (int p = 0; p < kPackets; ++p) {
    const int c = (lane + p * kWarpSize) * kSize;
    if (c >= channels) continue;
    load_sum(x, residual, start + c, values[p]);
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum += values[p][i];
  }
  const float mean = cuda::warp_reduce(sum) / static_cast<float>(channels);
  float squares = 0;
#pragma unroll
  for (int p = 0; p < kPackets; ++p) {
    if ((lane + p * kWarpSize) * kSize >= channels) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) squares += (values[p][i] - mean) * (values[p][i] - mean);
  }
  const float rstd = rsqrtf(cuda::warp_reduce(squares) / static_cast<float>(channels) + eps);
#pragma unroll
  for (int p = 0; p < kPackets; ++p) {
    const int c = (lane + p * kWarpSize) * kSize;
    if (c >= channels) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[p][i] = (values[p][i] - mean) * rstd * weight[c + i] + bias[c + i];
    store_packet(y + start + c, values[p]);
  }
  if (lane == 0 && mean_out) {
    mean_out[row] = mean;
    rstd_out[row] = rstd;
  }
}

/// Mapping: a block owns a row, a thread every kRowThreads-th element; three passes, the later ones from the cache.
/// For rows that are long, unaligned or of odd length. Shared memory: 32 bytes in block_reduce.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    forward_row_kernel(const T* x, const T* residual, const float* weight, const float* bias, T* y, float* mean_out,
                       float* rstd_out, int channels, float eps) {
  const std::int64_t start = std::int64_t{blockIdx.x} * channels;
  const int thread = static_cast<int>(threadIdx.x);
  float value[1];
  float sum = 0;
  for (int c = thread; c < channels; c += kRowThreads) {
    load_sum(x, residual, start + c, value);
    sum += value[0];
  }
  const float mean = cuda::block_reduce<kRowThreads>(sum) / static_cast<float>(channels);
  float squares = 0;
  for (int c = thread; c < channels; c += kRowThreads) {
    load_sum(x, residual, start + c, value);
    squares += (value[0] - mean) * (value[0] - mean);
  }
  const float rstd = rsqrtf(cuda::block_reduce<kRowThreads>(squares) / static_cast<float>(channels) + eps);
  for (int c = thread; c < channels; c += kRowThreads) {
    load_sum(x, residual, start + c, value);
    y[start + c] = cuda::from_float<T>((value[0] - mean) * rstd * weight[c] + bias[c]);
  }
  if (thread == 0 && mean_out) {
    mean_out[blockIdx.x] = mean;
    rstd_out[blockIdx.x] = rstd;
  }
}

/// With n = (x - mean) * rstd and g = gy * weight:   gx = rstd * (g - mean(g) - n * mean(g * n)).
/// Mapping: a warp owns a row and passes over it twice in packets of kSize, which must divide C. Shared memory: none.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    backward_input_kernel(const T* gy, const T* x, const T* residual, const float* weight, const float* mean_in,
                          const float* rstd_in, T* gx, float gx_beta, T* gresidual, float gresidual_beta,
                          std::int64_t rows, int channels) {
  const std::int64_t row = blockIdx.x * std::int64_t{kThreads / kWarpSize} + threadIdx.x / kWarpSize;
  if (row >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const std::int64_t start = row * channels;
  const float mean = mean_in[row];
  const float rstd = rstd_in[row];
  float values[kSize], gradient[kSize];
  float sum_g = 0, sum_gn = 0;
  for (int c = lane * kSize; c < channels; c += kWarpSize * kSize) {
    load_sum(x, residual, start + c, values);
    load_packet<kSize>(gy + start + c, gradient);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float g = gradient[i] * weight[c + i];
      sum_g += g;
      sum_gn += g * ((values[i] - mean) * rstd);
    }
  }
  const float mean_g = cuda::warp_reduce(sum_g) / static_cast<float>(channels);
  const float mean_gn = cuda::warp_reduce(sum_gn) / static_cast<float>(channels);
  for (int c = lane * kSize; c < channels; c += kWarpSize * kSize) {
    load_sum(x, residual, start + c, values);
    load_packet<kSize>(gy + start + c, gradient);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float n = (values[i] - mean) * rstd;
      gradient[i] = rstd * (gradient[i] * weight[c + i] - mean_g - n * mean_gn);
    }
    if (gx) write_gradient(gx + start + c, gx_beta, gradient);
    if (gresidual) write_gradient(gresidual + start + c, gresidual_beta, gradient);
  }
}

/// partial [2, slices, C]: partial[0][s][c] = sum of gy * n over the rows of slice s, partial[1][s][c] = sum of gy.
/// Mapping: block (b, s) owns channels [32 b, 32 b + 32) of slice s; warp w takes rows w, w + 8, ... of the slice, lane
/// l channel l; then warp 0 adds up the eight warps' sums. Shared memory: 2 KiB. No atomics, so the order of summation
/// is fixed. The rows of a slice are interleaved with those of the others.
template <class T>
__global__ void __launch_bounds__(kTileColumns* kTileRows)
    backward_partial_kernel(const T* gy, const T* x, const T* residual, const float* mean, const float* rstd,
                            float* partial, std::int64_t rows, int channels) {
  const std::int64_t slices = gridDim.y;
  VISAGE_SHARED(float, weight_sums, [kTileRows][kTileColumns]);
  VISAGE_SHARED(float, bias_sums, [kTileRows][kTileColumns]);
  const int column = static_cast<int>(threadIdx.x), tile_row = static_cast<int>(threadIdx.y);
  const int channel = static_cast<int>(blockIdx.x) * kTileColumns + column;
  float weight_sum = 0, bias_sum = 0;
  if (channel < channels) {
    const std::int64_t step = kTileRows * slices;
    for (std::int64_t row = blockIdx.y * std::int64_t{kTileRows} + tile_row; row < rows; row += step) {
      float value[1];
      load_sum(x, residual, row * channels + channel, value);
      const float g = cuda::to_float(gy[row * channels + channel]);
      bias_sum += g;
      weight_sum += g * ((value[0] - mean[row]) * rstd[row]);
    }
  }
  weight_sums[tile_row][column] = weight_sum;
  bias_sums[tile_row][column] = bias_sum;
  __syncthreads();
  if (tile_row != 0 || channel >= channels) return;
#pragma unroll
  for (int i = 1; i < kTileRows; ++i) {
    weight_sum += weight_sums[i][column];
    bias_sum += bias_sums[i][column];
  }
  const std::int64_t at = std::int64_t{blockIdx.y} * channels + channel;
  partial[at] = weight_sum;
  partial[slices * channels + at] = bias_sum;
}

/// Adds up the slices; a thread owns a channel. gweight and gbias may be null.
__global__ void __launch_bounds__(kThreads)
    backward_parameters_kernel(const float* partial, float* gweight, float weight_beta, float* gbias, float bias_beta,
                               int slices, int channels) {
  const int channel = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (channel >= channels) return;
  float sums[2] = {};
  for (int which = 0; which < 2; ++which) {
    for (int slice = 0; slice < slices; ++slice) {
      sums[which] += partial[std::int64_t{which * slices + slice} * channels + channel];
    }
  }
  const float weight_sum[1] = {sums[0]}, bias_sum[1] = {sums[1]};
  if (gweight) write_gradient(gweight + channel, weight_beta, weight_sum);
  if (gbias) write_gradient(gbias + channel, bias_beta, bias_sum);
}

template <class T>
bool in_packets(const View& x, const View& residual, const View& y) {
  return x.size[-1] % kPacketSize<T> == 0 && cuda::is_packet_aligned(x.data) && cuda::is_packet_aligned(y.data) &&
         cuda::is_packet_aligned(residual.data);
}

template <class T>
void forward(const Forward& args, StreamHandle stream) {
  const int channels = static_cast<int>(args.x.size[-1]);
  const std::int64_t rows = args.x.size.numel() / channels;
  const auto launch_warps = [&]<int kPackets>() {
    cuda::launch<forward_warp_kernel<T, kPackets>>(
        {cuda::blocks_for(rows, kThreads / kWarpSize), kThreads, 0, stream}, args.x.as<const T>(),
        args.residual.as<const T>(), args.weight.as<const float>(), args.bias.as<const float>(), args.y.as<T>(),
        args.mean.as<float>(), args.rstd.as<float>(), rows, channels, args.eps);
  };
  constexpr int kOnePacket = kWarpSize * kPacketSize<T>;
  if (in_packets<T>(args.x, args.residual, args.y)) {
    if (channels <= kOnePacket) return launch_warps.template operator()<1>();
    if (channels <= 2 * kOnePacket) return launch_warps.template operator()<2>();
    if (channels <= 4 * kOnePacket) return launch_warps.template operator()<4>();
  }
  cuda::launch<forward_row_kernel<T>>({static_cast<unsigned>(rows), kRowThreads, 0, stream}, args.x.as<const T>(),
                                      args.residual.as<const T>(), args.weight.as<const float>(),
                                      args.bias.as<const float>(), args.y.as<T>(), args.mean.as<float>(),
                                      args.rstd.as<float>(), channels, args.eps);
}

template <class T, int kSize>
void backward_input(const Backward& args, StreamHandle stream) {
  const int channels = static_cast<int>(args.x.size[-1]);
  const std::int64_t rows = args.x.size.numel() / channels;
  cuda::launch<backward_input_kernel<T, kSize>>(
      {cuda::blocks_for(rows, kThreads / kWarpSize), kThreads, 0, stream}, args.gy.as<const T>(), args.x.as<const T>(),
      args.residual.as<const T>(), args.weight.as<const float>(), args.mean.as<const float>(),
      args.rstd.as<const float>(), args.gx.to.as<T>(), args.gx.beta, args.gresidual.to.as<T>(), args.gresidual.beta,
      rows, channels);
}

template <class T>
void backward_parameters(const Backward& args, StreamHandle stream) {
  const int channels = static_cast<int>(args.x.size[-1]);
  const std::int64_t rows = args.x.size.numel() / channels;
  // No more slices than there are tiles of rows, but one at least: without rows the gradients are zero.
  const int slices = static_cast<int>(min(kSlices, max(std::int64_t{1}, (rows + kTileRows - 1) / kTileRows)));
  const dim3 grid(cuda::blocks_for(channels, kTileColumns), static_cast<unsigned>(slices));
  cuda::launch<backward_partial_kernel<T>>({grid, dim3(kTileColumns, kTileRows), 0, stream}, args.gy.as<const T>(),
                                           args.x.as<const T>(), args.residual.as<const T>(),
                                           args.mean.as<const float>(), args.rstd.as<const float>(),
                                           args.partial.as<float>(), rows, channels);
  cuda::launch<backward_parameters_kernel>(
      {cuda::blocks_for(channels, kThreads), kThreads, 0, stream}, args.partial.as<const float>(),
      args.gweight.to.as<float>(), args.gweight.beta, args.gbias.to.as<float>(), args.gbias.beta, slices, channels);
}

}  // namespace

void forward_cuda(const Forward& args, StreamHandle stream) {
  if (args.x.size.numel() == 0) return;
  cuda::for_dtype(args.x.dtype, [&]<class T>(T) { forward<T>(args, stream); });
}

void backward_cuda(const Backward& args, StreamHandle stream) {
  cuda::for_dtype(args.x.dtype, [&]<class T>(T) {
    if (args.x.size.numel() > 0 && (args.gx.to || args.gresidual.to)) {
      const bool packets = in_packets<T>(args.x, args.residual, args.gy) && cuda::is_packet_aligned(args.gx.to.data) &&
                           cuda::is_packet_aligned(args.gresidual.to.data);
      if (packets)
        backward_input<T, kPacketSize<T>>(args, stream);
      else
        backward_input<T, 1>(args, stream);
    }
    if (args.gweight.to || args.gbias.to) backward_parameters<T>(args, stream);
  });
}

}  // namespace visage::ops::layer_norm_detail
