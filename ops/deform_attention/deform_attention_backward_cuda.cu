// Backward of deformable attention on the GPU. A group of four lanes owns one head of one query (deform_attention.cuh)
// and goes over the channels in tiles of 32. Of every corner of a sample it reads the value once, for the dot product
// with the output's gradient, and adds that gradient times the corner's weight to the value's gradient. The gradients
// of location and weight follow from the four dot products; they are written once, without atomics.
//
// Many queries sample one value, so the value's gradient is a scattered sum. It has two forms:
// - by floating-point atomics, 16 bytes an instruction from sm_90 on, whose order varies from run to run;
// - deterministic: each term is rounded to a 64-bit fixed-point number and added by integer atomics, which give the
// same
//   sum in every order. The unit is a power of two chosen from the largest gradient and weight, so that the sum of all
//   terms cannot overflow; with a million terms an element it is 2^-40 of the largest possible term. It costs eight
//   bytes an element of scratch, cleared, added to (twice the bytes of the other form, one number an instruction) and
//   read, and a pass over gradient and weights for the maxima.
// Bound by the atomics in the L2 cache: 4 corners x 32 channels a sample. Shared memory: 39 KiB a block. Compiled for
// sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/deform_attention/deform_attention.cuh"
#include "tensor/cuda/atomic.cuh"

namespace visage::ops {
namespace {

using namespace deform_detail;
using cuda::kPacketSize;

constexpr int kFlatThreads = 256;
constexpr int kMaximumBlocks = 512;  // of the search for the largest gradient and weight

/// Blocks on a multiprocessor; tests for the edge need registers.
template <bool kModel>
constexpr int kResident = kModel ? 3 : 2;

/// Terms in fixed point are multiplied by this power of two: the sum of 2^term_bits terms stays below 2^62. largest:
/// the bits of the largest magnitudes among gradients and weights. 0 if one of them, or their product, is not finite.
__device__ __forceinline__ float fixed_point_scale(const unsigned* largest, int term_bits) {
  constexpr unsigned kNotFinite = 255, kBias = 127;
  const unsigned gradient = largest[0] >> 23, weight = largest[1] >> 23;
  const int exponent = static_cast<int>(gradient + weight) - static_cast<int>(2 * kBias) + 2;  // |term| < 2^exponent
  if (gradient == kNotFinite || weight == kNotFinite || exponent > 127) return 0;
  const int scale = min(62 - term_bits - exponent, 126);
  return __uint_as_float((static_cast<unsigned>(scale) + kBias) << 23);
}

/// to += factor * values, in float or in fixed point.
template <int kSize>
__device__ __forceinline__ void add_terms(float* to, float factor, const float* values, float) {
  if constexpr (kSize == 4) {
    const float terms[4] = {factor * values[0], factor * values[1], factor * values[2], factor * values[3]};
    cuda::atomic_add4(to, terms);
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) cuda::atomic_add(to + i, factor * values[i]);
  }
}
template <int kSize>
__device__ __forceinline__ void add_terms(unsigned long long* to, float factor, const float* values, float scale) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    atomicAdd(to + i, static_cast<unsigned long long>(llrintf(factor * values[i] * scale)));
  }
}

/// Sums four numbers over the four lanes of the group; lane l gets the sum of number l. Three shuffles in place of
/// eight: each step sends away the half that the lane will not own.
__device__ __forceinline__ float transposed_sum(const float (&value)[4], int lane) {
  const bool high = lane & 2, odd = lane & 1;
  const float first = (high ? value[2] : value[0]) + __shfl_xor_sync(cuda::kAllLanes, high ? value[0] : value[2], 2);
  const float second = (high ? value[3] : value[1]) + __shfl_xor_sync(cuda::kAllLanes, high ? value[1] : value[3], 2);
  return (odd ? second : first) + __shfl_xor_sync(cuda::kAllLanes, odd ? first : second, 1);
}

/// The samples of a lane, between the pass that leaves their corners and the one that writes their gradients.
struct LaneSample {
  Cell cell;
  float weight;
};

/// Weights of the corners for the value's gradient, and their tokens; -1: outside.
__device__ __forceinline__ void leave_corners(const LaneSample& sample, const LevelSize& level, bool exists,
                                              float4& weights, int4& tokens) {
  const Cell& cell = sample.cell;
  const int token = level.start + cell.y * level.width + cell.x;
  tokens = make_int4(exists && cell.inside(0, level) ? token : -1, exists && cell.inside(1, level) ? token + 1 : -1,
                     exists && cell.inside(2, level) ? token + level.width : -1,
                     exists && cell.inside(3, level) ? token + level.width + 1 : -1);
  weights = make_float4(sample.weight * cell.weight(0), sample.weight * cell.weight(1), sample.weight * cell.weight(2),
                        sample.weight * cell.weight(3));
}

__device__ __forceinline__ void put(float* to, float beta, float value) {
  *to = beta == 0 ? value : beta * *to + value;
}

/// Where the gradients of locations and weights go; null: not wanted.
struct SampleGradients {
  float* locations;
  float locations_beta;
  float* weights;
  float weights_beta;

  /// Of sample `at`, from the four dot products.
  __device__ __forceinline__ void write(std::int64_t at, const LaneSample& sample, const LevelSize& level,
                                        float4 dot) const {
    const Cell& cell = sample.cell;
    if (weights) {
      put(weights + at, weights_beta,
          cell.weight(0) * dot.x + cell.weight(1) * dot.y + cell.weight(2) * dot.z + cell.weight(3) * dot.w);
    }
    if (!locations) return;
    const float slope_x = (1 - cell.fy) * (dot.y - dot.x) + cell.fy * (dot.w - dot.z);
    const float slope_y = (1 - cell.fx) * (dot.z - dot.x) + cell.fx * (dot.w - dot.y);
    put(locations + 2 * at, locations_beta, sample.weight * static_cast<float>(level.width) * slope_x);
    put(locations + 2 * at + 1, locations_beta, sample.weight * static_cast<float>(level.height) * slope_y);
  }
};

/// The lane's channels of a row. Those beyond the head keep what they have.
template <bool kModel, int kSize>
__device__ __forceinline__ void load_channels(const float* row, const LaneChannels<kSize>& channels,
                                              float (&values)[kLaneChannels]) {
#pragma unroll
  for (int p = 0; p < channels.kPackets; ++p) {
    if (!kModel && channels.packet(p) >= channels.dim) continue;
    float packet[kSize];
    cuda::load_packet<kSize>(row + channels.packet(p), packet);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[p * kSize + i] = packet[i];
  }
}

/// The pass over the channels.
template <class Sum>
struct Scatter {
  const float* value;  // of the image and head
  Sum* gvalue;         // likewise; null: not wanted
  std::int64_t pitch;
  float scale;

  /// The dot products of the output's gradient with the four corners, this lane's part; adds to the value's gradient.
  template <int kSize, bool kModel>
  __device__ __forceinline__ void sample(const LaneChannels<kSize>& channels, const float (&gradient)[kLaneChannels],
                                         float4 weights, int4 tokens, float (&dot)[4]) const {
    const float weight[4] = {weights.x, weights.y, weights.z, weights.w};
    const int token[4] = {tokens.x, tokens.y, tokens.z, tokens.w};
    float values[4][kLaneChannels] = {};  // all of them are asked for before the first is used
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      if (token[corner] >= 0) load_channels<kModel>(value + token[corner] * pitch, channels, values[corner]);
    }
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      dot[corner] = 0;
#pragma unroll
      for (int i = 0; i < kLaneChannels; ++i) dot[corner] += gradient[i] * values[corner][i];
    }
    if (!gvalue) return;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      if (token[corner] < 0) continue;
#pragma unroll
      for (int p = 0; p < channels.kPackets; ++p) {
        if (!kModel && channels.packet(p) >= channels.dim) continue;
        add_terms<kSize>(gvalue + token[corner] * pitch + channels.packet(p), weight[corner], gradient + p * kSize,
                         scale);
      }
    }
  }

  /// All channels of `count` samples: leaves the dot products with the gradient in `gout_row`.
  template <int kSize, bool kModel>
  __device__ __forceinline__ void samples(const float* gout_row, int dim, int lane, int count, const float4* weights,
                                          const int4* tokens, float4* dots) const {
    for (int tile = 0; tile * kTileChannels < dim; ++tile) {
      const LaneChannels<kSize> channels(tile, dim);
      float gradient[kLaneChannels] = {};
      load_channels<kModel>(gout_row, channels, gradient);
#pragma unroll 1
      for (int s = 0; s < count; ++s) {
        float dot[4];
        sample<kSize, kModel>(channels, gradient, weights[s], tokens[s], dot);
        const float sum = transposed_sum(dot, lane);
        float& to = reinterpret_cast<float*>(dots + s)[lane];
        to = tile == 0 ? sum : to + sum;
      }
    }
  }
};

/// Sum: float, or unsigned long long for fixed point. grid.y counts heads. Three passes a chunk of samples: every lane
/// leaves the corners of its own; the group reads and scatters, and leaves the dot products; every lane writes the
/// gradients of its own.
template <class Sum, int kSize, bool kModel>
__global__ void __launch_bounds__(kThreads, kResident<kModel>)
    backward_kernel(const float* __restrict__ gout, const float* __restrict__ value,
                    const float* __restrict__ locations, const float* __restrict__ weights, Sum* gvalue,
                    const unsigned* largest, int term_bits, float* glocations, float glocations_beta, float* gweights,
                    float gweights_beta, const __grid_constant__ Levels levels,
                    const __grid_constant__ QueryTiles tiles, int heads, int given_points, int dim) {
  VISAGE_SHARED(float4, corner_weights, [kGroups * kSamplePitch]);
  VISAGE_SHARED(int4, corner_tokens, [kGroups * kSamplePitch]);
  VISAGE_SHARED(float4, dots, [kGroups * kSamplePitch]);
  const int points = kModel ? kModelPoints : given_points;
  const int samples = kModel ? kChunk : levels.count * points;
  const int lane = static_cast<int>(threadIdx.x) % kGroup;
  const int slot = static_cast<int>(threadIdx.x) / kGroup * kSamplePitch;
  const Query query = find_query(tiles);
  const std::int64_t row = query.index * heads + blockIdx.y;
  const std::int64_t base = (std::int64_t{query.image} * levels.tokens * heads + blockIdx.y) * dim;
  const SampleGradients gradients{glocations, glocations_beta, gweights, gweights_beta};
  Scatter<Sum> scatter{value + base, gvalue ? gvalue + base : nullptr, std::int64_t{heads} * dim, 0};
  if (largest) {
    scatter.scale = fixed_point_scale(largest, term_bits);
    if (scatter.scale == 0) scatter.gvalue = nullptr;
  }
  for (int first = 0; first < samples; first += kChunk) {
    const int count = kModel ? kChunk : min(samples - first, kChunk);
    LaneSample own[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int s = lane + step * kGroup;
      if (s >= count) continue;
      const LevelSize level = levels.level[(first + s) / points];
      const std::int64_t at = row * samples + first + s;
      float place[2];
      load_pair<kModel>(locations + 2 * at, place);
      own[step] = {Cell::find(place[0] * static_cast<float>(level.width) - 0.5f,
                              place[1] * static_cast<float>(level.height) - 0.5f, level),
                   weights[at]};
      leave_corners(own[step], level, query.exists, corner_weights[slot + s], corner_tokens[slot + s]);
    }
    __syncwarp();
    scatter.template samples<kSize, kModel>(gout + row * dim, dim, lane, count, corner_weights + slot,
                                            corner_tokens + slot, dots + slot);
    __syncwarp();  // the corners have been read, too, which the next chunk overwrites
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int s = lane + step * kGroup;
      if (s >= count || !query.exists) continue;
      gradients.write(row * samples + first + s, own[step], levels.level[(first + s) / points], dots[slot + s]);
    }
  }
}

/// largest[y] = the bits of the largest magnitude in tensor y = blockIdx.y, which order like the magnitudes and put
/// what is not a number on top. The maximum is the same in every order.
__global__ void __launch_bounds__(kFlatThreads)
    largest_kernel(const float* gout, std::int64_t gout_count, const float* weights, std::int64_t weights_count,
                   unsigned* largest) {
  const float* const from = blockIdx.y == 0 ? gout : weights;
  const std::int64_t count = blockIdx.y == 0 ? gout_count : weights_count;
  unsigned bits = 0;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kFlatThreads + threadIdx.x; i < count;
       i += std::int64_t{gridDim.x} * kFlatThreads) {
    bits = max(bits, __float_as_uint(fabsf(from[i])));
  }
  bits = cuda::block_reduce<kFlatThreads, cuda::Max>(bits);
  if (threadIdx.x == 0) atomicMax(largest + blockIdx.y, bits);
}

/// to = beta * to; beta 0 does not read it.
__global__ void __launch_bounds__(kFlatThreads) scale_kernel(float* to, float beta, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kFlatThreads + threadIdx.x;
  if (i < count) to[i] = beta == 0 ? 0 : beta * to[i];
}

/// to = beta * to + the sum in fixed point.
__global__ void __launch_bounds__(kFlatThreads)
    from_fixed_kernel(const long long* sums, const unsigned* largest, int term_bits, float* to, float beta,
                      std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kFlatThreads + threadIdx.x;
  if (i >= count) return;
  const float scale = fixed_point_scale(largest, term_bits);
  put(to + i, beta, scale == 0 ? NAN : static_cast<float>(sums[i]) / scale);
}

template <class Sum>
void scatter(const DeformBackwardArgs& args, Sum* gvalue, int term_bits, StreamHandle stream) {
  const std::int64_t images = args.value.size[0], heads = args.value.size[2], dim = args.value.size[3];
  const std::int64_t points = args.weights.size[4];
  const Levels levels = levels_of(args.level, args.weights.size[3]);
  const QueryTiles tiles = tile_queries(levels, args.weights.size[1]);
  const bool packets = dim % kPacketSize<float> == 0 && cuda::is_packet_aligned(args.value.data) &&
                       cuda::is_packet_aligned(args.gout.data) && cuda::is_packet_aligned(gvalue);
  const bool model = is_model(levels.count, points, dim) && cuda::is_packet_aligned(args.locations.data);
  for_variant<float>(packets, model, [&]<int kSize, bool kModel>() {
    cuda::launch<backward_kernel<Sum, kSize, kModel>>(
        {dim3(static_cast<unsigned>(tiles.count * images), static_cast<unsigned>(heads)), kThreads, 0, stream},
        args.gout.as<const float>(), args.value.as<const float>(), args.locations.as<const float>(),
        args.weights.as<const float>(), gvalue, args.largest.as<const unsigned>(), term_bits,
        args.glocations.to.as<float>(), args.glocations.beta, args.gweights.to.as<float>(), args.gweights.beta, levels,
        tiles, static_cast<int>(heads), static_cast<int>(points), static_cast<int>(dim));
  });
}

/// The number of samples that can meet in one value, as the power of two above it.
int bits_of_terms(const DeformBackwardArgs& args) {
  const std::int64_t terms = args.weights.size[1] * args.weights.size[4];
  int bits = 0;
  while (std::int64_t{1} << bits < terms) ++bits;
  return bits;
}

}  // namespace

void deform_attention_backward_cuda(const DeformBackwardArgs& args, StreamHandle stream) {
  const std::int64_t values = args.value.size.numel();
  const bool has_terms = args.gout.size.numel() > 0 && args.weights.size.numel() > 0;
  const unsigned value_blocks = cuda::blocks_for(values, kFlatThreads);
  float* const gvalue = args.gvalue.to.as<float>();
  if (!args.fixed) {
    if (gvalue && values > 0 && args.gvalue.beta != 1) {
      cuda::launch<scale_kernel>({value_blocks, kFlatThreads, 0, stream}, gvalue, args.gvalue.beta, values);
    }
    if (has_terms) scatter(args, gvalue, 0, stream);
    return;
  }
  const int term_bits = bits_of_terms(args);
  if (has_terms) {
    const std::int64_t gouts = args.gout.size.numel(), weights = args.weights.size.numel();
    const unsigned blocks = cuda::blocks_for(max(gouts, weights), kFlatThreads);
    cuda::launch<largest_kernel>({dim3(min(blocks, static_cast<unsigned>(kMaximumBlocks)), 2), kFlatThreads, 0, stream},
                                 args.gout.as<const float>(), gouts, args.weights.as<const float>(), weights,
                                 args.largest.as<unsigned>());
    scatter(args, args.fixed.as<unsigned long long>(), term_bits, stream);
  }
  if (values > 0) {
    cuda::launch<from_fixed_kernel>({value_blocks, kFlatThreads, 0, stream}, args.fixed.as<const long long>(),
                                    args.largest.as<const unsigned>(), term_bits, gvalue, args.gvalue.beta, values);
  }
}

}  // namespace visage::ops
