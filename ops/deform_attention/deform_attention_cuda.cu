// Deformable attention on the GPU, forward: from given locations and weights, and fused with the softmax and the
// offsets. The mapping is explained in deform_attention.cuh. Shared memory: 32 bytes a sample, 26 KiB a block for the
// models' sizes. Bound by the L1 cache: every sample moves 4 x 32 channels, which are in L1 or L2, and the inputs and
// the output cross the memory once. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or
// timed on a GPU.
#include "ops/deform_attention/deform_attention.cuh"

namespace visage::ops {
namespace {

using namespace deform_detail;
using cuda::kPacketSize;

/// Blocks on a multiprocessor; tests for the edge need registers.
template <bool kModel>
constexpr int kResident = kModel ? 4 : 3;

/// Samples that are gathered at once, so that a lane waits for eight packets. More would not fit into the registers.
template <class T, bool kModel>
constexpr int kUnroll = kModel && sizeof(T) == 2 ? 2 : 1;

/// A sample in shared memory: weights and pixels of its corners. A corner outside of the level gets weight 0 and the
/// nearest pixel inside, which is another corner of the sample if any is inside, so that the gather needs no branches.
__device__ __forceinline__ void place(float x, float y, float weight, const LevelSize& level, float4& weights,
                                      int4& pixels) {
  const Cell cell = Cell::find(x, y, level);
  const int left = max(cell.x, 0), right = max(min(cell.x + 1, level.width - 1), 0);
  const int top = level.start + max(cell.y, 0) * level.width;
  const int bottom = level.start + max(min(cell.y + 1, level.height - 1), 0) * level.width;
  pixels = make_int4(top + left, top + right, bottom + left, bottom + right);
  weights = make_float4(
      cell.inside(0, level) ? weight * cell.weight(0) : 0.f, cell.inside(1, level) ? weight * cell.weight(1) : 0.f,
      cell.inside(2, level) ? weight * cell.weight(2) : 0.f, cell.inside(3, level) ? weight * cell.weight(3) : 0.f);
}

/// sum += weights . values of the corners. kWhole: every packet of the lane exists.
template <int kSize, bool kWhole, class T>
__device__ __forceinline__ void gather(const T* value, std::int64_t pitch, const LaneChannels<kSize>& channels,
                                       float4 weights, int4 pixels, float (&sum)[kLaneChannels]) {
  const float weight[4] = {weights.x, weights.y, weights.z, weights.w};
  const int pixel[4] = {pixels.x, pixels.y, pixels.z, pixels.w};
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const T* const from = value + pixel[corner] * pitch;
#pragma unroll
    for (int p = 0; p < channels.kPackets; ++p) {
      if (!kWhole && channels.packet(p) >= channels.dim) continue;
      float values[kSize];
      cuda::load_packet<kSize>(from + p * kGroup * kSize, values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) sum[p * kSize + i] += weight[corner] * values[i];
    }
  }
}

/// The lane's sums times `factor` to the output, a row of whole packets.
template <int kSize, bool kWhole, class Out>
__device__ __forceinline__ void write(Out* row, const LaneChannels<kSize>& channels, float factor,
                                      const float (&sum)[kLaneChannels]) {
  constexpr int kStore = kSize < kPacketSize<Out> ? kSize : kPacketSize<Out>;
#pragma unroll
  for (int p = 0; p < channels.kPackets; ++p) {
    const int channel = channels.packet(p);
    if (!kWhole && channel >= channels.dim) continue;
#pragma unroll
    for (int part = 0; part < kSize; part += kStore) {
      float values[kStore];
#pragma unroll
      for (int i = 0; i < kStore; ++i) values[i] = factor * sum[p * kSize + part + i];
      cuda::store_packet(row + channel + part, values);
    }
  }
}

/// Locations and weights are given: a lane reads its samples' and leaves them, then the group gathers.
template <int kSize, bool kModel>
__global__ void __launch_bounds__(kThreads, kResident<kModel>)
    attend_kernel(const float* __restrict__ value, const float* __restrict__ locations,
                  const float* __restrict__ weights, float* __restrict__ out, const __grid_constant__ Levels levels,
                  const __grid_constant__ QueryTiles tiles, int heads, int given_points, int dim) {
  VISAGE_SHARED(float4, corner_weights, [kGroups * kSamplePitch]);
  VISAGE_SHARED(int4, corner_pixels, [kGroups * kSamplePitch]);
  const int points = kModel ? kModelPoints : given_points;
  const int samples = kModel ? kChunk : levels.count * points;
  const int lane = static_cast<int>(threadIdx.x) % kGroup;
  const int slot = static_cast<int>(threadIdx.x) / kGroup * kSamplePitch;
  const Query query = find_query(tiles);
  const int head = static_cast<int>(blockIdx.y) % heads;
  const LaneChannels<kSize> channels(static_cast<int>(blockIdx.y) / heads, dim);
  const std::int64_t row = query.index * heads + head, pitch = std::int64_t{heads} * dim;
  const float* const base = value + (std::int64_t{query.image} * levels.tokens * heads + head) * dim + channels.first;
  float sum[kLaneChannels] = {};
  for (int first = 0; first < samples; first += kChunk) {
    const int count = kModel ? kChunk : min(samples - first, kChunk);
    if (first > 0) __syncwarp();  // the last chunk has been read
    for (int s = lane; s < count; s += kGroup) {
      const LevelSize level = levels.level[(first + s) / points];
      const std::int64_t at = row * samples + first + s;
      float place_at[2];
      load_pair<kModel>(locations + 2 * at, place_at);
      place(place_at[0] * static_cast<float>(level.width) - 0.5f, place_at[1] * static_cast<float>(level.height) - 0.5f,
            weights[at], level, corner_weights[slot + s], corner_pixels[slot + s]);
    }
    __syncwarp();
#pragma unroll 1
    for (int s = 0; s < count; ++s) {
      gather<kSize, kModel>(base, pitch, channels, corner_weights[slot + s], corner_pixels[slot + s], sum);
    }
  }
  if (query.exists) write<kSize, kModel>(out + row * dim, channels, 1.f, sum);
}

struct FusedShape {
  Levels levels;
  float2 ratio[kMaxLevels][kMaxLevels];  // [own][sampled]: sizes of the sampled level in units of the own level's
  const float* table_y[kMaxLevels];
  const float* table_x[kMaxLevels];
  std::int64_t value_image, value_pitch, sampling_image, sampling_pitch;  // strides in elements
  int heads, points, dim;
  bool sampling_bf16, out_bf16;
};

/// The row of offsets and logits of a token, with its rows of the tables.
struct SamplingRow {
  const void* row;
  const float* y;  // no table: null
  const float* x;
  bool bf16;

  __device__ __forceinline__ static SamplingRow find(const void* sampling, const FusedShape& shape,
                                                     const Query& query) {
    const std::int64_t token = query.index - std::int64_t{query.image} * shape.levels.tokens;
    const std::int64_t at = query.image * shape.sampling_image + token * shape.sampling_pitch;
    const std::int64_t columns = std::int64_t{shape.heads} * shape.levels.count * shape.points * 3;
    const float* const y = shape.table_y[query.level];
    const float* const x = shape.table_x[query.level];
    const int bytes = shape.sampling_bf16 ? 2 : 4;
    return {static_cast<const char*>(sampling) + at * bytes, y ? y + query.y * columns : nullptr,
            x ? x + query.x * columns : nullptr, shape.sampling_bf16};
  }
  __device__ __forceinline__ float load(int column) const {
    const float value =
        bf16 ? cuda::to_float(static_cast<const __nv_bfloat16*>(row)[column]) : static_cast<const float*>(row)[column];
    return y ? value + (y[column] + x[column]) : value;
  }
  template <bool kAligned>
  __device__ __forceinline__ void load_pair(int column, float (&pair)[2]) const {
    if (bf16)
      deform_detail::load_pair<kAligned>(static_cast<const __nv_bfloat16*>(row) + column, pair);
    else
      deform_detail::load_pair<kAligned>(static_cast<const float*>(row) + column, pair);
    if (!y) return;
    float added_y[2], added_x[2];
    deform_detail::load_pair<kAligned>(y + column, added_y);
    deform_detail::load_pair<kAligned>(x + column, added_x);
    pair[0] += added_y[0] + added_x[0];
    pair[1] += added_y[1] + added_x[1];
  }
};

/// The lane's logits of a chunk, -inf beyond the last; returns the largest of the group.
__device__ __forceinline__ float load_logits(const SamplingRow& row, int column, int lane, int count,
                                             float (&logit)[kSteps]) {
  float top = -INFINITY;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int s = lane + step * kGroup;
    logit[step] = s < count ? row.load(column + s) : -INFINITY;
    top = fmaxf(top, logit[step]);
  }
  return group_reduce(top, cuda::Max{});
}

/// e^x.
__device__ __forceinline__ float exponential(float x) { return exp2f(x * 1.44269504f); }

/// Softmax, position in pixels and gather in one pass. A lane holds its logits in registers; the maximum and the sum go
/// through two shuffles each. More samples than a chunk are taken chunk by chunk: what has been summed is scaled down
/// when a larger logit appears, and the division by the sum of the weights comes last.
template <class T, int kSize, bool kModel>
__global__ void __launch_bounds__(kThreads, kResident<kModel>)
    attend_fused_kernel(const T* __restrict__ value, const void* __restrict__ sampling, void* __restrict__ out,
                        const __grid_constant__ FusedShape shape, const __grid_constant__ QueryTiles tiles) {
  [[maybe_unused]] constexpr int kAtOnce = kUnroll<T, kModel>;
  VISAGE_SHARED(float4, corner_weights, [kGroups * kSamplePitch]);
  VISAGE_SHARED(int4, corner_pixels, [kGroups * kSamplePitch]);
  const int points = kModel ? kModelPoints : shape.points;
  const int samples = kModel ? kChunk : shape.levels.count * points;
  const int lane = static_cast<int>(threadIdx.x) % kGroup;
  const int slot = static_cast<int>(threadIdx.x) / kGroup * kSamplePitch;
  const Query query = find_query(tiles);
  const int head = static_cast<int>(blockIdx.y) % shape.heads;
  const LaneChannels<kSize> channels(static_cast<int>(blockIdx.y) / shape.heads, shape.dim);
  const SamplingRow row = SamplingRow::find(sampling, shape, query);
  const int offsets = head * samples * 2, logits = (shape.heads * 2 + head) * samples;
  const float column = static_cast<float>(query.x) + 0.5f, line = static_cast<float>(query.y) + 0.5f;
  const T* const base = value + query.image * shape.value_image + std::int64_t{head} * shape.dim + channels.first;
  float sum[kLaneChannels] = {};
  float top = -INFINITY, total = 0;
  for (int first = 0; first < samples; first += kChunk) {
    const int count = kModel ? kChunk : min(samples - first, kChunk);
    float weight[kSteps];  // a logit until its exponential is taken
    const float chunk_top = fmaxf(top, load_logits(row, logits + first, lane, count, weight));
    if (first > 0) {
      const float scale = exponential(top - chunk_top);
      total *= scale;
#pragma unroll
      for (int i = 0; i < kLaneChannels; ++i) sum[i] *= scale;
      __syncwarp();  // the last chunk has been read
    }
    top = chunk_top;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int s = lane + step * kGroup;
      if (s >= count) continue;
      weight[step] = exponential(weight[step] - top);
      total += weight[step];
      const int to = (first + s) / points;
      const float2 ratio = shape.ratio[query.level][to];
      float offset[2];
      row.load_pair<kModel>(offsets + 2 * (first + s), offset);
      place(column * ratio.x - 0.5f + offset[0], line * ratio.y - 0.5f + offset[1], weight[step],
            shape.levels.level[to], corner_weights[slot + s], corner_pixels[slot + s]);
    }
    __syncwarp();
#pragma unroll kAtOnce
    for (int s = 0; s < count; ++s) {
      gather<kSize, kModel>(base, shape.value_pitch, channels, corner_weights[slot + s], corner_pixels[slot + s], sum);
    }
  }
  const float factor = 1.f / group_reduce(total);
  if (!query.exists) return;
  const std::int64_t at = (query.index * shape.heads + head) * shape.dim;
  if (shape.out_bf16)
    write<kSize, kModel>(static_cast<__nv_bfloat16*>(out) + at, channels, factor, sum);
  else
    write<kSize, kModel>(static_cast<float*>(out) + at, channels, factor, sum);
}

dim3 grid_of(const QueryTiles& tiles, std::int64_t images, std::int64_t heads, std::int64_t dim) {
  return dim3(static_cast<unsigned>(tiles.count * images),
              static_cast<unsigned>(heads) * cuda::blocks_for(dim, kTileChannels));
}

FusedShape shape_of(const DeformFusedArgs& args) {
  FusedShape shape{};
  shape.levels = levels_of(args.level, args.levels);
  for (int own = 0; own < shape.levels.count; ++own) {
    const LevelSize& from = shape.levels.level[own];
    for (int l = 0; l < shape.levels.count; ++l) {
      const LevelSize& to = shape.levels.level[l];
      shape.ratio[own][l] = make_float2(static_cast<float>(to.width) / static_cast<float>(from.width),
                                        static_cast<float>(to.height) / static_cast<float>(from.height));
    }
    shape.table_y[own] = args.table_y[own].as<const float>();
    shape.table_x[own] = args.table_x[own].as<const float>();
  }
  shape.value_image = args.value.stride[0];
  shape.value_pitch = args.value.stride[1];
  shape.sampling_image = args.sampling.stride[0];
  shape.sampling_pitch = args.sampling.stride[1];
  shape.heads = static_cast<int>(args.heads);
  shape.points = static_cast<int>(args.points);
  shape.dim = static_cast<int>(args.value.size[2] / args.heads);
  shape.sampling_bf16 = args.sampling.dtype == DType::bf16;
  shape.out_bf16 = args.out.dtype == DType::bf16;
  return shape;
}

/// Pairs of offsets can be read at once: the sampling row and the tables begin at even columns.
bool pairs_are_aligned(const DeformFusedArgs& args, const FusedShape& shape) {
  bool aligned = args.sampling.stride[0] % 2 == 0 && args.sampling.stride[1] % 2 == 0 &&
                 cuda::is_packet_aligned(args.sampling.data);
  for (int l = 0; l < shape.levels.count; ++l) {
    aligned = aligned && cuda::is_packet_aligned(shape.table_y[l]) && cuda::is_packet_aligned(shape.table_x[l]);
  }
  return aligned;
}

template <class T>
void attend_fused(const DeformFusedArgs& args, StreamHandle stream) {
  const FusedShape shape = shape_of(args);
  const std::int64_t images = args.value.size[0];
  const bool packets = shape.dim % kPacketSize<T> == 0 && shape.value_image % kPacketSize<T> == 0 &&
                       shape.value_pitch % kPacketSize<T> == 0 && cuda::is_packet_aligned(args.value.data);
  const bool model = is_model(shape.levels.count, shape.points, shape.dim) && pairs_are_aligned(args, shape);
  const QueryTiles tiles = tile_queries(shape.levels, shape.levels.tokens);
  for_variant<T>(packets, model, [&]<int kSize, bool kModel>() {
    cuda::launch<attend_fused_kernel<T, kSize, kModel>>(
        {grid_of(tiles, images, shape.heads, shape.dim), kThreads, 0, stream}, args.value.as<const T>(),
        static_cast<const void*>(args.sampling.data), args.out.data, shape, tiles);
  });
}

}  // namespace

void deform_attention_cuda(const DeformAttentionArgs& args, StreamHandle stream) {
  const std::int64_t images = args.value.size[0], queries = args.weights.size[1], heads = args.value.size[2];
  const std::int64_t dim = args.value.size[3], points = args.weights.size[4];
  if (args.out.size.numel() == 0) return;
  const Levels levels = levels_of(args.level, args.weights.size[3]);
  const QueryTiles tiles = tile_queries(levels, queries);
  const bool packets = dim % kPacketSize<float> == 0 && cuda::is_packet_aligned(args.value.data);
  const bool model = is_model(levels.count, points, dim) && cuda::is_packet_aligned(args.locations.data);
  for_variant<float>(packets, model, [&]<int kSize, bool kModel>() {
    cuda::launch<attend_kernel<kSize, kModel>>(
        {grid_of(tiles, images, heads, dim), kThreads, 0, stream}, args.value.as<const float>(),
        args.locations.as<const float>(), args.weights.as<const float>(), args.out.as<float>(), levels, tiles,
        static_cast<int>(heads), static_cast<int>(points), static_cast<int>(dim));
  });
}

void deform_attention_fused_cuda(const DeformFusedArgs& args, StreamHandle stream) {
  if (args.out.size.numel() == 0) return;
  if (args.value.dtype == DType::f32)
    attend_fused<float>(args, stream);
  else
    attend_fused<__nv_bfloat16>(args, stream);
}

}  // namespace visage::ops
