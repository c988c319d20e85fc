// Sampling locations on the GPU. Bound by memory bandwidth: offsets are read and locations written once. Mapping: a
// warp owns a token's row and works out its centre once; lane l takes the points l, l + 32, ... of the row, (x, y) in
// one access. Shared memory: none. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or
// timed on a GPU.
#include "ops/deform_attention/deform_attention.cuh"
#include "ops/deform_attention/sampling_locations_kernels.h"

namespace visage::ops {
namespace {

using namespace deform_detail;
using cuda::kWarpSize;

constexpr int kRows = 8;  // of a block

/// centre + pair / size for the forward, beta * to + pair / size for the backward. kAligned: pairs at even addresses.
template <bool kForward, bool kAligned>
__global__ void __launch_bounds__(kRows* kWarpSize)
    locations_kernel(const float* from, float* to, float beta, const __grid_constant__ Levels levels, int points,
                     std::int64_t rows, int columns) {
  const std::int64_t row = blockIdx.x * std::int64_t{kRows} + threadIdx.x / kWarpSize;
  if (row >= rows) return;
  const int token = static_cast<int>(row % levels.tokens);
  int own = 0;
#pragma unroll
  for (int l = 1; l < kMaxLevels; ++l) own += l < levels.count && token >= levels.level[l].start ? 1 : 0;
  const LevelSize level = levels.level[own];
  const int place = token - level.start;
  const float centre_x = (static_cast<float>(place % level.width) + 0.5f) / static_cast<float>(level.width);
  const float centre_y = (static_cast<float>(place / level.width) + 0.5f) / static_cast<float>(level.height);
  for (int i = static_cast<int>(threadIdx.x) % kWarpSize; 2 * i < columns; i += kWarpSize) {
    const std::int64_t at = row * columns + 2 * i;
    const LevelSize sampled = levels.level[i / points % levels.count];
    float pair[2];
    load_pair<kAligned>(from + at, pair);
    pair[0] *= 1.f / static_cast<float>(sampled.width);
    pair[1] *= 1.f / static_cast<float>(sampled.height);
    if constexpr (kForward) {
      pair[0] += centre_x;
      pair[1] += centre_y;
    } else if (beta != 0) {
      float before[2];
      load_pair<kAligned>(to + at, before);
      pair[0] += beta * before[0];
      pair[1] += beta * before[1];
    }
    store_pair<kAligned>(to + at, pair);
  }
}

template <bool kForward>
void locate(const SamplingLocationsArgs& args, StreamHandle stream) {
  if (args.rows * args.columns == 0) return;
  const auto launch = [&]<bool kAligned>() {
    cuda::launch<locations_kernel<kForward, kAligned>>(
        {cuda::blocks_for(args.rows, kRows), kRows * kWarpSize, 0, stream}, args.from.as<const float>(),
        args.to.to.as<float>(), args.to.beta, levels_of(args.level, args.levels), static_cast<int>(args.points),
        args.rows, static_cast<int>(args.columns));
  };
  if (cuda::is_packet_aligned(args.from.data) && cuda::is_packet_aligned(args.to.to.data))
    launch.template operator()<true>();
  else
    launch.template operator()<false>();
}

}  // namespace

void sampling_locations_cuda(const SamplingLocationsArgs& args, StreamHandle stream) { locate<true>(args, stream); }

void sampling_locations_backward_cuda(const SamplingLocationsArgs& args, StreamHandle stream) {
  locate<false>(args, stream);
}

}  // namespace visage::ops
