#include "bench/ops/deform_attention/deform_attention_peer.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::bench {
namespace {

constexpr int kDim = 32, kThreads = 256;

struct Sizes {
  ops::DeformLevel level[ops::kMaxLevels];
  int images, tokens, queries, heads, levels, points;
};

struct Corner {
  int pixel;  // -1: outside
  float weight, slope_x, slope_y;
};

__device__ Corner corner_at(float x, float y, int corner, int height, int width) {
  const float left = floorf(x), top = floorf(y), fx = x - left, fy = y - top;
  const int right = corner & 1, low = corner >> 1;
  const int px = static_cast<int>(left) + right, py = static_cast<int>(top) + low;
  const float wx = right ? fx : 1 - fx, wy = low ? fy : 1 - fy;
  const bool inside = px >= 0 && px < width && py >= 0 && py < height;
  return {inside ? py * width + px : -1, wx * wy, right ? wy : -wy, low ? wx : -wx};
}

/// Mapping: thread (image, query, head, channel).
__global__ void __launch_bounds__(kThreads)
    attend_kernel(const float* __restrict__ value, const float* __restrict__ locations,
                  const float* __restrict__ weights, float* out, const __grid_constant__ Sizes sizes) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x, row = index / kDim;
  if (row >= std::int64_t{sizes.images} * sizes.queries * sizes.heads) return;
  const int channel = static_cast<int>(index % kDim), head = static_cast<int>(row % sizes.heads);
  const std::int64_t image = row / sizes.heads / sizes.queries;
  float sum = 0;
  for (int s = 0; s < sizes.levels * sizes.points; ++s) {
    const ops::DeformLevel level = sizes.level[s / sizes.points];
    const int height = static_cast<int>(level.height), width = static_cast<int>(level.width);
    const std::int64_t at = row * sizes.levels * sizes.points + s;
    const float x = locations[2 * at] * static_cast<float>(width) - 0.5f;
    const float y = locations[2 * at + 1] * static_cast<float>(height) - 0.5f;
    float sample = 0;
    for (int c = 0; c < 4; ++c) {
      const Corner corner = corner_at(x, y, c, height, width);
      if (corner.pixel < 0) continue;
      const std::int64_t token = image * sizes.tokens + level.start + corner.pixel;
      sample += corner.weight * value[(token * sizes.heads + head) * kDim + channel];
    }
    sum += weights[at] * sample;
  }
  out[index] = sum;
}

/// Mapping as before; the warp of a head adds up the gradients of location and weight.
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const float* __restrict__ gout, const float* __restrict__ value,
                    const float* __restrict__ locations, const float* __restrict__ weights, float* gvalue,
                    float* glocations, float* gweights, const __grid_constant__ Sizes sizes) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kThreads + threadIdx.x, row = index / kDim;
  if (row >= std::int64_t{sizes.images} * sizes.queries * sizes.heads) return;
  const int channel = static_cast<int>(index % kDim), head = static_cast<int>(row % sizes.heads);
  const std::int64_t image = row / sizes.heads / sizes.queries;
  const float gradient = gout[index];
  for (int s = 0; s < sizes.levels * sizes.points; ++s) {
    const ops::DeformLevel level = sizes.level[s / sizes.points];
    const int height = static_cast<int>(level.height), width = static_cast<int>(level.width);
    const std::int64_t at = row * sizes.levels * sizes.points + s;
    const float x = locations[2 * at] * static_cast<float>(width) - 0.5f;
    const float y = locations[2 * at + 1] * static_cast<float>(height) - 0.5f;
    float sample = 0, slope_x = 0, slope_y = 0;
    for (int c = 0; c < 4; ++c) {
      const Corner corner = corner_at(x, y, c, height, width);
      if (corner.pixel < 0) continue;
      const std::int64_t token = image * sizes.tokens + level.start + corner.pixel;
      const std::int64_t from = (token * sizes.heads + head) * kDim + channel;
      sample += corner.weight * value[from];
      slope_x += corner.slope_x * value[from];
      slope_y += corner.slope_y * value[from];
      atomicAdd(gvalue + from, weights[at] * corner.weight * gradient);
    }
    sample = cuda::warp_reduce(sample * gradient);
    slope_x = cuda::warp_reduce(slope_x * gradient);
    slope_y = cuda::warp_reduce(slope_y * gradient);
    if (channel != 0) continue;
    gweights[at] = sample;
    glocations[2 * at] = weights[at] * static_cast<float>(width) * slope_x;
    glocations[2 * at + 1] = weights[at] * static_cast<float>(height) * slope_y;
  }
}

Sizes sizes_of(const View& value, const View& weights, const ops::DeformLevel* level) {
  Sizes sizes{};
  for (int l = 0; l < ops::kMaxLevels; ++l) sizes.level[l] = level[l];
  sizes.images = static_cast<int>(value.size[0]);
  sizes.tokens = static_cast<int>(value.size[1]);
  sizes.queries = static_cast<int>(weights.size[1]);
  sizes.heads = static_cast<int>(weights.size[2]);
  sizes.levels = static_cast<int>(weights.size[3]);
  sizes.points = static_cast<int>(weights.size[4]);
  return sizes;
}

unsigned blocks_of(const Sizes& sizes) {
  return cuda::blocks_for(std::int64_t{sizes.images} * sizes.queries * sizes.heads * kDim, kThreads);
}

}  // namespace

void attend_by_channel(const ops::DeformAttentionArgs& args, StreamHandle stream) {
  const Sizes sizes = sizes_of(args.value, args.weights, args.level);
  cuda::launch<attend_kernel>({blocks_of(sizes), kThreads, 0, stream}, args.value.as<const float>(),
                              args.locations.as<const float>(), args.weights.as<const float>(), args.out.as<float>(),
                              sizes);
}

void attend_by_channel_backward(const ops::DeformBackwardArgs& args, StreamHandle stream) {
  const Sizes sizes = sizes_of(args.value, args.weights, args.level);
  cuda::launch<backward_kernel>({blocks_of(sizes), kThreads, 0, stream}, args.gout.as<const float>(),
                                args.value.as<const float>(), args.locations.as<const float>(),
                                args.weights.as<const float>(), args.gvalue.to.as<float>(),
                                args.glocations.to.as<float>(), args.gweights.to.as<float>(), sizes);
}

}  // namespace visage::bench
