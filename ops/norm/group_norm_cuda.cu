// Group normalisation and maps a channel on the GPU, for images of any pitch. All kernels are bound by memory
// bandwidth. Forward: x is read for the moments and again, from the L2 cache where it fits, for y. Backward: gy, x (and
// y, for its sign) twice, gx once. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or
// timed on a GPU.
//
// Mapping of the kernels over pixels: a block of 256 threads is `lanes` x `row lanes`; a lane owns kSize neighbouring
// channels, a row lane every blockDim.y-th pixel. There are as many lanes as a pixel has packets, at most 32, so that
// few channels do not leave threads idle. The parameters of a channel stay in registers from pixel to pixel.
#include "ops/gradient/gradient_kernels.h"
#include "ops/norm/group_norm_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::group_norm_detail {
namespace {

using cuda::kPacketSize;
using cuda::load_packet;
using cuda::store_packet;
using cuda::write_gradient;

constexpr int kThreads = 256;
constexpr int kRowsPerThread = 4;
constexpr std::int64_t kMaxImages = 65535;  // of one launch: the limit of gridDim.z, beyond which blocks take several

/// Where pixels lie, in elements.
struct Pitch {
  std::int64_t image, row;
};
Pitch pitch_of(const Pixels& p) { return {p.image_stride, p.pitch}; }

/// What a thread owns.
struct Place {
  std::int64_t channel;
  bool inside;
  __device__ Place(int size, int channels)
      : channel((blockIdx.y * std::int64_t{blockDim.x} + threadIdx.x) * size), inside(channel < channels) {}
};

/// Parameters of kSize neighbouring channels; packets are aligned.
template <int kSize>
__device__ __forceinline__ void load_parameters(const float* from, float (&values)[kSize]) {
  constexpr int kStep = kSize < kPacketSize<float> ? kSize : kPacketSize<float>;
#pragma unroll
  for (int i = 0; i < kSize; i += kStep) {
    float some[kStep];
    load_packet<kStep>(from + i, some);
#pragma unroll
    for (int j = 0; j < kStep; ++j) values[i + j] = some[j];
  }
}

/// Calls use(row) for the pixels of the thread: kRowsPerThread of those of a block.
template <class Use>
__device__ __forceinline__ void for_rows(std::int64_t rows, Use&& use) {
  const std::int64_t first = blockIdx.x * std::int64_t{blockDim.y} * kRowsPerThread + threadIdx.y;
#pragma unroll
  for (int i = 0; i < kRowsPerThread; ++i) {
    const std::int64_t row = first + i * std::int64_t{blockDim.y};
    if (row < rows) use(row);
  }
}

/// The gradient before the activation: gy where the result of a ReLU, if there is one, is positive.
template <int kSize, class T>
__device__ __forceinline__ void load_passed(const T* gy, const T* relu_result, float (&g)[kSize]) {
  load_packet<kSize>(gy, g);
  if (!relu_result) return;
  float result[kSize];
  load_packet<kSize>(relu_result, result);
#pragma unroll
  for (int i = 0; i < kSize; ++i) g[i] = result[i] > 0 ? g[i] : 0.f;
}

/// Mean and sum of squared deviations of every channel over the pixels of a slice: mean, deviation [N, slices, C]. The
/// means are differences from the first pixel of the image, pivot [N, C], so that large ones keep their last digits.
/// Mapping: block (s, b, n) owns slice s of image n and as many channels as it has lanes; every thread keeps running
/// moments (Welford 1962), which do not cancel even if the first pixel is far from the others; then thread t merges
/// those of channel t over the row lanes. Shared memory: 2 kSize KiB, 16 KiB at most.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads, 2)
    moments_kernel(const T* x, Pitch pitch, float* mean_out, float* deviation_out, float* pivot_out,
                   std::int64_t images, std::int64_t rows, int channels) {
  VISAGE_SHARED(float, means, [kThreads * kSize]);
  VISAGE_SHARED(float, deviations, [kThreads * kSize]);
  const int lanes = static_cast<int>(blockDim.x), row_lanes = static_cast<int>(blockDim.y);
  const int lane = static_cast<int>(threadIdx.x), row_lane = static_cast<int>(threadIdx.y);
  const std::int64_t slices = gridDim.x, slice = blockIdx.x;
  const std::int64_t first = rows * slice / slices, last = rows * (slice + 1) / slices;
  const Place own(kSize, channels);
  for (std::int64_t image = blockIdx.z; image < images; image += gridDim.z) {
    float mean[kSize] = {}, deviation[kSize] = {}, count = 0;
    if (own.inside && rows > 0) {
      const T* from = x + image * pitch.image + own.channel;
      float pivot[kSize];
      load_packet<kSize>(from, pivot);
      if (slice == 0 && row_lane == 0) {
        for (int i = 0; i < kSize; ++i) pivot_out[image * channels + own.channel + i] = pivot[i];
      }
#pragma unroll 4
      for (std::int64_t row = first + row_lane; row < last; row += row_lanes) {
        float values[kSize];
        load_packet<kSize>(from + row * pitch.row, values);
        count += 1;
        const float share = 1 / count;
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          const float value = values[i] - pivot[i], delta = value - mean[i];
          mean[i] += delta * share;
          deviation[i] += delta * (value - mean[i]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      means[(row_lane * kSize + i) * lanes + lane] = mean[i];
      deviations[(row_lane * kSize + i) * lanes + lane] = deviation[i];
    }
    __syncthreads();
    const int mine = row_lane * lanes + lane;  // of the lanes * kSize channels of the block, in the order of `means`
    const std::int64_t channel = (blockIdx.y * std::int64_t{lanes} + mine % lanes) * kSize + mine / lanes;
    if (mine < lanes * kSize && channel < channels) {
      const auto count_of = [&](int r) { return static_cast<float>((last - first - r + row_lanes - 1) / row_lanes); };
      float all_mean = 0, all_deviation = 0;
      for (int r = 0; r < row_lanes; ++r) all_mean += count_of(r) * means[r * kSize * lanes + mine];
      all_mean /= static_cast<float>(last - first);
      for (int r = 0; r < row_lanes; ++r) {
        const float delta = means[r * kSize * lanes + mine] - all_mean;
        all_deviation += deviations[r * kSize * lanes + mine] + count_of(r) * delta * delta;
      }
      const std::int64_t at = (image * slices + slice) * channels + channel;
      mean_out[at] = all_mean;
      deviation_out[at] = all_deviation;
    }
    __syncthreads();  // before the next image overwrites what is still read
  }
}

/// Merges the moments of the slices and channels of a group, in f64, and writes the map of its channels.
/// Mapping: a block owns a group of an image. Shared memory: 64 bytes in block_reduce.
__global__ void __launch_bounds__(kThreads, 2)
    scale_shift_kernel(const float* means, const float* deviations, const float* pivots, const float* weight,
                       const float* bias, float* scale_out, float* shift_out, float* mean_out, float* rstd_out,
                       int slice_rows, int rest, double inverse_count, int channels, int groups, int slices,
                       float eps) {
  const int width = channels / groups, group = static_cast<int>(blockIdx.x) % groups;
  const std::int64_t image = blockIdx.x / groups;
  const std::int64_t start = image * slices * channels + group * width;
  // Pixels of slice s: rows * (s + 1) / slices - rows * s / slices, where rows = slice_rows * slices + rest.
  const auto count_of = [&](int s) {
    return static_cast<double>(slice_rows + (rest * (s + 1) / slices - rest * s / slices));
  };
  const int items = slices * width;
  const auto mean_at = [&](int i) {
    const double pivot = pivots[image * channels + group * width + i % width];
    return pivot + means[start + std::int64_t{i / width} * channels + i % width];
  };
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < items; i += kThreads) sum += count_of(i / width) * mean_at(i);
  const double mean = cuda::block_reduce<kThreads>(sum) * inverse_count;
  double squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < items; i += kThreads) {
    const double delta = mean_at(i) - mean;
    squares += deviations[start + std::int64_t{i / width} * channels + i % width];
    squares += count_of(i / width) * delta * delta;
  }
  const double variance = cuda::block_reduce<kThreads>(squares) * inverse_count;
  const float rstd = rsqrtf(static_cast<float>(variance) + eps);
  if (threadIdx.x == 0 && mean_out) {
    mean_out[image * groups + group] = static_cast<float>(mean);
    rstd_out[image * groups + group] = rstd;
  }
  for (int c = static_cast<int>(threadIdx.x); c < width; c += kThreads) {
    const int channel = group * width + c;
    const float scale = weight[channel] * rstd;
    scale_out[image * channels + channel] = scale;
    shift_out[image * channels + channel] = static_cast<float>(bias[channel] - mean * scale);
  }
}

/// y = act(x * scale + shift + residual). Mapping: see the top; in place is allowed. Shared memory: none.
template <class In, class Out, int kSize>
__global__ void __launch_bounds__(kThreads)
    affine_kernel(const In* x, Pitch x_pitch, const float* scale, const float* shift, std::int64_t scale_stride,
                  const In* residual, Pitch residual_pitch, Out* y, Pitch y_pitch, bool relu, std::int64_t images,
                  std::int64_t rows, int channels) {
  const Place own(kSize, channels);
  if (!own.inside) return;
  for (std::int64_t image = blockIdx.z; image < images; image += gridDim.z) {
    float factor[kSize], offset[kSize];
    load_parameters<kSize>(scale + image * scale_stride + own.channel, factor);
    load_parameters<kSize>(shift + image * scale_stride + own.channel, offset);
    for_rows(rows, [&](std::int64_t row) {
      float values[kSize], added[kSize] = {};
      load_packet<kSize>(x + image * x_pitch.image + row * x_pitch.row + own.channel, values);
      if (residual)
        load_packet<kSize>(residual + image * residual_pitch.image + row * residual_pitch.row + own.channel, added);
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        values[i] = values[i] * factor[i] + offset[i] + added[i];
        if (relu) values[i] = values[i] < 0 ? 0.f : values[i];
      }
      store_packet(y + image * y_pitch.image + row * y_pitch.row + own.channel, values);
    });
  }
}

/// Sums of g and of g * n over the pixels of a slice: sum_g, sum_gn [N, slices, C]; n is x itself without a mean, and
/// nothing is known of n without x. Mapping and shared memory as in moments_kernel, sums in place of moments.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const T* gy, Pitch gy_pitch, const T* relu_result, Pitch relu_pitch, const T* x, Pitch x_pitch,
                const float* mean_in, const float* rstd_in, float* sum_g_out, float* sum_gn_out, std::int64_t images,
                std::int64_t rows, int channels, int groups) {
  VISAGE_SHARED(float, sums_g, [kThreads * kSize]);
  VISAGE_SHARED(float, sums_gn, [kThreads * kSize]);
  const int lanes = static_cast<int>(blockDim.x), row_lanes = static_cast<int>(blockDim.y);
  const int lane = static_cast<int>(threadIdx.x), row_lane = static_cast<int>(threadIdx.y);
  const std::int64_t slices = gridDim.x, slice = blockIdx.x;
  const std::int64_t first = rows * slice / slices, last = rows * (slice + 1) / slices;
  const Place own(kSize, channels);
  for (std::int64_t image = blockIdx.z; image < images; image += gridDim.z) {
    float sum_g[kSize] = {}, sum_gn[kSize] = {};
    if (own.inside) {
      float mean[kSize] = {}, rstd[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const std::int64_t group = image * groups + (own.channel + i) / (channels / groups);
        if (mean_in) mean[i] = mean_in[group];
        rstd[i] = mean_in ? rstd_in[group] : 1.f;
      }
#pragma unroll 2
      for (std::int64_t row = first + row_lane; row < last; row += row_lanes) {
        float g[kSize], values[kSize] = {};
        const T* result = relu_result ? relu_result + image * relu_pitch.image + row * relu_pitch.row : nullptr;
        load_passed(gy + image * gy_pitch.image + row * gy_pitch.row + own.channel,
                    result ? result + own.channel : nullptr, g);
        if (x) load_packet<kSize>(x + image * x_pitch.image + row * x_pitch.row + own.channel, values);
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          sum_g[i] += g[i];
          sum_gn[i] += g[i] * ((values[i] - mean[i]) * rstd[i]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      sums_g[(row_lane * kSize + i) * lanes + lane] = sum_g[i];
      sums_gn[(row_lane * kSize + i) * lanes + lane] = sum_gn[i];
    }
    __syncthreads();
    const int mine = row_lane * lanes + lane;
    const std::int64_t channel = (blockIdx.y * std::int64_t{lanes} + mine % lanes) * kSize + mine / lanes;
    if (mine < lanes * kSize && channel < channels) {
      float all_g = 0, all_gn = 0;
      for (int r = 0; r < row_lanes; ++r) {
        all_g += sums_g[r * kSize * lanes + mine];
        all_gn += sums_gn[r * kSize * lanes + mine];
      }
      const std::int64_t at = (image * slices + slice) * channels + channel;
      sum_g_out[at] = all_g;
      sum_gn_out[at] = all_gn;
    }
    __syncthreads();
  }
}

/// With means over the pixels and channels of a group: curve = -rstd^2 mean(g w n), offset = -rstd mean(g w), [N,
/// groups]. Mapping: a block owns a group of an image. Shared memory: 64 bytes in block_reduce.
__global__ void __launch_bounds__(kThreads)
    input_map_kernel(const float* sum_g, const float* sum_gn, const float* weight, const float* rstd, float* curve,
                     float* offset, std::int64_t rows, int channels, int groups, int slices) {
  const int width = channels / groups, group = static_cast<int>(blockIdx.x) % groups;
  const std::int64_t image = blockIdx.x / groups;
  const std::int64_t start = image * slices * channels + group * width;
  double all_g = 0, all_gn = 0;
  for (int i = static_cast<int>(threadIdx.x); i < slices * width; i += kThreads) {
    const std::int64_t at = start + std::int64_t{i / width} * channels + i % width;
    all_g += static_cast<double>(sum_g[at]) * weight[group * width + i % width];
    all_gn += static_cast<double>(sum_gn[at]) * weight[group * width + i % width];
  }
  all_g = cuda::block_reduce<kThreads>(all_g);
  all_gn = cuda::block_reduce<kThreads>(all_gn);
  if (threadIdx.x != 0) return;
  const double count = static_cast<double>(width) * static_cast<double>(rows), deviation = rstd[blockIdx.x];
  curve[blockIdx.x] = static_cast<float>(-deviation * deviation * (all_gn / count));
  offset[blockIdx.x] = static_cast<float>(-deviation * (all_g / count));
}

/// gx = beta * gx + g * rstd * weight + (x - mean) * curve + offset. Mapping: see the top. Shared memory: none.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    backward_input_kernel(const T* gy, Pitch gy_pitch, const T* relu_result, Pitch relu_pitch, const T* x,
                          Pitch x_pitch, const float* weight, const float* mean, const float* rstd, const float* curve,
                          const float* offset, T* gx, float beta, std::int64_t images, std::int64_t rows, int channels,
                          int groups) {
  const Place own(kSize, channels);
  if (!own.inside) return;
  for (std::int64_t image = blockIdx.z; image < images; image += gridDim.z) {
    float slope[kSize], centre[kSize], curves[kSize], offsets[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const std::int64_t channel = own.channel + i, group = image * groups + channel / (channels / groups);
      slope[i] = rstd[group] * weight[channel];
      centre[i] = mean[group];
      curves[i] = curve[group];
      offsets[i] = offset[group];
    }
    for_rows(rows, [&](std::int64_t row) {
      float g[kSize], values[kSize];
      const T* result = relu_result ? relu_result + image * relu_pitch.image + row * relu_pitch.row : nullptr;
      load_passed(gy + image * gy_pitch.image + row * gy_pitch.row + own.channel,
                  result ? result + own.channel : nullptr, g);
      load_packet<kSize>(x + image * x_pitch.image + row * x_pitch.row + own.channel, values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) g[i] = g[i] * slope[i] + ((values[i] - centre[i]) * curves[i] + offsets[i]);
      write_gradient(gx + (image * rows + row) * channels + own.channel, beta, g);
    });
  }
}

/// gx = beta * gx + g * scale and gresidual = beta * gresidual + g; either may be null. Mapping: see the top.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    affine_backward_kernel(const T* gy, Pitch gy_pitch, const T* relu_result, Pitch relu_pitch, const float* scale,
                           std::int64_t scale_stride, T* gx, float gx_beta, T* gresidual, float gresidual_beta,
                           std::int64_t images, std::int64_t rows, int channels) {
  const Place own(kSize, channels);
  if (!own.inside) return;
  for (std::int64_t image = blockIdx.z; image < images; image += gridDim.z) {
    float factor[kSize];
    load_parameters<kSize>(scale + image * scale_stride + own.channel, factor);
    for_rows(rows, [&](std::int64_t row) {
      float g[kSize];
      const T* result = relu_result ? relu_result + image * relu_pitch.image + row * relu_pitch.row : nullptr;
      load_passed(gy + image * gy_pitch.image + row * gy_pitch.row + own.channel,
                  result ? result + own.channel : nullptr, g);
      const std::int64_t at = (image * rows + row) * channels + own.channel;
      if (gresidual) write_gradient(gresidual + at, gresidual_beta, g);
      if (!gx) return;
#pragma unroll
      for (int i = 0; i < kSize; ++i) g[i] *= factor[i];
      write_gradient(gx + at, gx_beta, g);
    });
  }
}

bool in_packets(int packet, const Pixels& p) {
  return !p.data || (p.channels % packet == 0 && p.image_stride % packet == 0 && p.pitch % packet == 0 &&
                     cuda::is_packet_aligned(p.data));
}

/// The block of the kernels over pixels, and how many of it cover the channels.
struct Tiling {
  dim3 block;
  unsigned column_blocks;
  Tiling(int channels, int packet) {
    const int packets = (channels + packet - 1) / packet;
    int lanes = 1;
    while (lanes < packets && lanes < cuda::kWarpSize) lanes *= 2;
    block = dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(kThreads / lanes));
    column_blocks = cuda::blocks_for(packets, lanes);
  }
  dim3 over_rows(std::int64_t images, std::int64_t rows) const {
    return {cuda::blocks_for(rows, block.y * std::int64_t{kRowsPerThread}), column_blocks, over_images(images)};
  }
  dim3 over_slices(std::int64_t images, int slices) const {
    return {static_cast<unsigned>(slices), column_blocks, over_images(images)};
  }
  static unsigned over_images(std::int64_t images) { return static_cast<unsigned>(min(images, kMaxImages)); }
};

template <class T, int kSize>
void backward(const Backward& a, int slices, StreamHandle stream) {
  const Pixels& x = a.x;
  const int channels = static_cast<int>(x.channels);
  const std::int64_t items = x.images * slices * channels;
  const T *gy = static_cast<const T*>(a.gy.data), *result = static_cast<const T*>(a.relu_result.data);
  float *sum_g = a.partial, *sum_gn = a.partial + items;
  const Tiling tiling(channels, kSize);
  cuda::launch<sums_kernel<T, kSize>>({tiling.over_slices(x.images, slices), tiling.block, 0, stream}, gy,
                                      pitch_of(a.gy), result, pitch_of(a.relu_result), static_cast<const T*>(x.data),
                                      pitch_of(x), a.mean, a.rstd, sum_g, sum_gn, x.images, x.rows, channels, a.groups);
  if (!a.gx) return;
  const auto groups = static_cast<unsigned>(x.images * a.groups);
  float *curve = a.maps, *offset = a.maps + x.images * a.groups;
  cuda::launch<input_map_kernel>({groups, kThreads, 0, stream}, sum_g, sum_gn, a.weight, a.rstd, curve, offset, x.rows,
                                 channels, a.groups, slices);
  cuda::launch<backward_input_kernel<T, kSize>>(
      {tiling.over_rows(x.images, x.rows), tiling.block, 0, stream}, gy, pitch_of(a.gy), result,
      pitch_of(a.relu_result), static_cast<const T*>(x.data), pitch_of(x), a.weight, a.mean, a.rstd, curve, offset,
      a.gx.to.as<T>(), a.gx.beta, x.images, x.rows, channels, a.groups);
}

/// Adds up the sums of all slices and images.
void write_parameter(float* partial, std::int64_t rows, std::int64_t channels, const Gradient& gradient, float* scratch,
                     StreamHandle stream) {
  if (!gradient) return;
  const auto f32 = [](float* data, const Dims& size) {
    return View{data, size, contiguous_strides(size), DType::f32, DeviceType::cuda};
  };
  const std::int64_t slices = gradient_detail::slices_for(rows, channels);
  gradient_detail::sum_rows_cuda({f32(partial, {rows, channels}), gradient, f32(scratch, {slices, channels})}, stream);
}

template <class T, int kSize>
void affine_backward(const AffineBackward& a, StreamHandle stream) {
  const int channels = static_cast<int>(a.gy.channels);
  const Tiling tiling(channels, kSize);
  cuda::launch<affine_backward_kernel<T, kSize>>(
      {tiling.over_rows(a.gy.images, a.gy.rows), tiling.block, 0, stream}, static_cast<const T*>(a.gy.data),
      pitch_of(a.gy), static_cast<const T*>(a.relu_result.data), pitch_of(a.relu_result), a.scale, a.scale_stride,
      a.gx.to.as<T>(), a.gx.beta, a.gresidual.to.as<T>(), a.gresidual.beta, a.gy.images, a.gy.rows, channels);
}

bool is_aligned(const Gradient& gradient) { return cuda::is_packet_aligned(gradient.to.data); }

}  // namespace

void statistics_cuda(const Statistics& a, StreamHandle stream) {
  const Pixels& x = a.x;
  if (x.images * x.channels == 0) return;
  const int channels = static_cast<int>(x.channels), slices = static_cast<int>(slices_for(x.images, x.rows));
  float *means = a.partial, *deviations = means + x.images * slices * channels;
  float* pivots = deviations + x.images * slices * channels;
  cuda::for_f32_or_bf16(x.dtype, [&]<class T>(T) {
    const auto launch = [&]<int kSize>() {
      const Tiling tiling(channels, kSize);
      cuda::launch<moments_kernel<T, kSize>>({tiling.over_slices(x.images, slices), tiling.block, 0, stream},
                                             static_cast<const T*>(x.data), pitch_of(x), means, deviations, pivots,
                                             x.images, x.rows, channels);
    };
    in_packets(kPacketSize<T>, x) ? launch.template operator()<kPacketSize<T>>() : launch.template operator()<1>();
  });
  const double count = static_cast<double>(x.channels / a.groups) * static_cast<double>(x.rows);
  cuda::launch<scale_shift_kernel>({static_cast<unsigned>(x.images * a.groups), kThreads, 0, stream}, means, deviations,
                                   pivots, a.weight, a.bias, a.scale, a.shift, a.mean, a.rstd,
                                   static_cast<int>(x.rows / slices), static_cast<int>(x.rows % slices), 1 / count,
                                   channels, a.groups, slices, a.eps);
}

void affine_cuda(const Affine& a, StreamHandle stream) {
  const Pixels& x = a.x;
  if (x.images * x.rows * x.channels == 0) return;
  const int channels = static_cast<int>(x.channels);
  const bool aligned =
      cuda::is_packet_aligned(a.scale) && cuda::is_packet_aligned(a.shift) && a.scale_stride % kPacketSize<float> == 0;
  cuda::for_f32_or_bf16(x.dtype, [&]<class In>(In) {
    cuda::for_f32_or_bf16(a.y.dtype, [&]<class Out>(Out) {
      const auto launch = [&]<int kSize>() {
        const Tiling tiling(channels, kSize);
        cuda::launch<affine_kernel<In, Out, kSize>>(
            {tiling.over_rows(x.images, x.rows), tiling.block, 0, stream}, static_cast<const In*>(x.data), pitch_of(x),
            a.scale, a.shift, a.scale_stride, static_cast<const In*>(a.residual.data), pitch_of(a.residual),
            static_cast<Out*>(a.y.data), pitch_of(a.y), a.relu, x.images, x.rows, channels);
      };
      constexpr int kPacket = kPacketSize<In> < kPacketSize<Out> ? kPacketSize<In> : kPacketSize<Out>;
      const bool packets =
          aligned && in_packets(kPacket, x) && in_packets(kPacket, a.y) && in_packets(kPacket, a.residual);
      packets ? launch.template operator()<kPacket>() : launch.template operator()<1>();
    });
  });
}

void backward_cuda(const Backward& a, StreamHandle stream) {
  const Pixels& x = a.x;
  if (x.channels == 0) return;
  const int slices = static_cast<int>(slices_for(x.images, x.rows));
  if (x.images > 0) {
    cuda::for_f32_or_bf16(x.dtype, [&]<class T>(T) {
      constexpr int kPacket = kPacketSize<T>;
      const bool packets =
          in_packets(kPacket, x) && in_packets(kPacket, a.gy) && in_packets(kPacket, a.relu_result) && is_aligned(a.gx);
      packets ? backward<T, kPacket>(a, slices, stream) : backward<T, 1>(a, slices, stream);
    });
  }
  const std::int64_t rows = x.images * slices;
  write_parameter(a.partial, rows, x.channels, a.gbias, a.sum_scratch, stream);
  write_parameter(a.partial + rows * x.channels, rows, x.channels, a.gweight, a.sum_scratch, stream);
}

void affine_backward_cuda(const AffineBackward& a, StreamHandle stream) {
  if (a.gscale || a.gshift) {
    // The sums of a normalisation that changes nothing.
    backward_cuda({.x = a.x.data ? a.x : Pixels{nullptr, a.gy.dtype, a.gy.images, a.gy.rows, a.gy.channels, 0, 0},
                   .gy = a.gy,
                   .relu_result = a.relu_result,
                   .weight = a.scale,
                   .mean = nullptr,
                   .rstd = nullptr,
                   .groups = 1,
                   .gx = {},
                   .gweight = a.gscale,
                   .gbias = a.gshift,
                   .partial = a.partial,
                   .maps = nullptr,
                   .sum_scratch = a.sum_scratch},
                  stream);
  }
  if ((!a.gx && !a.gresidual) || a.gy.images * a.gy.rows * a.gy.channels == 0) return;
  cuda::for_f32_or_bf16(a.gy.dtype, [&]<class T>(T) {
    constexpr int kPacket = kPacketSize<T>;
    const bool packets = in_packets(kPacket, a.gy) && in_packets(kPacket, a.relu_result) && is_aligned(a.gx) &&
                         is_aligned(a.gresidual) && cuda::is_packet_aligned(a.scale);
    packets ? affine_backward<T, kPacket>(a, stream) : affine_backward<T, 1>(a, stream);
  });
}

}  // namespace visage::ops::group_norm_detail
