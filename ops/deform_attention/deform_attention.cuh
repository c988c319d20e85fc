#pragma once
// What the forward and backward kernels of deformable attention share.
//
// Mapping: a group of four lanes owns one head of one query and, of that head, a tile of 32 channels: eight channels a
// lane, in 16-byte packets. A block is 64 groups, the queries of an 8 x 8 square of one level, because neighbours
// sample neighbouring values and then find them in the L1 cache. grid.x counts images and squares, grid.y heads and
// tiles of channels. A group first works out its samples, each lane every fourth one, and leaves four weights and four
// pixels a sample in shared memory; then the four lanes read all of them together and only move values. So the address
// arithmetic of a sample is done once, not once a channel.
#include "ops/deform_attention/deform_attention_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/shared.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::deform_detail {

inline constexpr int kGroup = 4;  // lanes
inline constexpr int kTileWidth = 8;
inline constexpr int kGroups = kTileWidth * kTileWidth;  // of a block
inline constexpr int kThreads = kGroup * kGroups;
inline constexpr int kLaneChannels = 8;
inline constexpr int kTileChannels = kGroup * kLaneChannels;

/// The models sample 3 levels at 4 points with heads of 32 channels: for whole tiles of channels and these numbers the
/// kernels are compiled with constants and without tests for the edge.
inline constexpr int kModelLevels = 3, kModelPoints = 4;

/// Samples that a group keeps in shared memory at a time: all of the models'.
inline constexpr int kChunk = kModelLevels * kModelPoints;
inline constexpr int kSteps = kChunk / kGroup;  // of a lane
/// Distance of two groups in shared memory, in samples. It is odd, so that the eight groups of a warp, which read
/// their own sample at the same time, find sixteen bytes each in different banks.
inline constexpr int kSamplePitch = kChunk + 1;

struct LevelSize {
  int height, width, start;
};

struct Levels {
  LevelSize level[kMaxLevels];
  int count;
  int tokens;  // of an image
};

/// The queries of an image as squares of 8 x 8. Queries that are not the tokens of the levels are laid out in rows of
/// eight: a square is then 64 neighbours.
struct QueryTiles {
  Levels levels;
  int first[kMaxLevels];  // index of a level's first square; beyond every square for levels that do not exist
  int count;
  int queries;
};

struct Query {
  int image, level, x, y;
  std::int64_t index;  // among the queries of the whole batch
  bool exists;         // squares reach over the edge of a level; such groups compute the level's first query in vain
};

__device__ __forceinline__ Query find_query(const QueryTiles& tiles) {
  const int image = static_cast<int>(blockIdx.x) / tiles.count, tile = static_cast<int>(blockIdx.x) % tiles.count;
  int level = 0;
#pragma unroll
  for (int l = 1; l < kMaxLevels; ++l) level += tile >= tiles.first[l] ? 1 : 0;
  const LevelSize size = tiles.levels.level[level];
  const int across = (size.width + kTileWidth - 1) / kTileWidth, in_level = tile - tiles.first[level];
  const int group = static_cast<int>(threadIdx.x) / kGroup;
  const int x = in_level % across * kTileWidth + group % kTileWidth;
  const int y = in_level / across * kTileWidth + group / kTileWidth;
  const int index = size.start + y * size.width + x;
  const bool exists = x < size.width && y < size.height && index < tiles.queries;
  const std::int64_t first = std::int64_t{image} * tiles.queries;
  if (!exists) return {image, level, 0, 0, first + size.start, false};
  return {image, level, x, y, first + index, true};
}

/// The channels of a lane: packets `lane`, `lane` + 4, ... of kSize channels in a tile.
template <int kSize>
struct LaneChannels {
  static constexpr int kPackets = kLaneChannels / kSize;
  int first;  // of the lane's first packet, in the head
  int dim;

  __device__ __forceinline__ LaneChannels(int tile, int head_dim)
      : first(tile * kTileChannels + static_cast<int>(threadIdx.x) % kGroup * kSize), dim(head_dim) {}
  __device__ __forceinline__ int packet(int p) const { return first + p * kGroup * kSize; }
};

template <class Op = cuda::Sum>
__device__ __forceinline__ float group_reduce(float value, Op op = {}) {
  value = op(value, __shfl_xor_sync(cuda::kAllLanes, value, 1));
  return op(value, __shfl_xor_sync(cuda::kAllLanes, value, 2));
}

/// The four pixels around a position in a level: left top, right top, left bottom, right bottom
/// (ops/point_sample/corners.h).
struct Cell {
  float fx, fy;  // distance from the left and the top ones
  int x, y;      // of the left top one; -2 where the position is not near the level, or not a number

  __device__ __forceinline__ static Cell find(float x, float y, const LevelSize& level) {
    const float left = floorf(x), top = floorf(y);
    const bool near =
        x > -1.f && x < static_cast<float>(level.width) && y > -1.f && y < static_cast<float>(level.height);
    return {near ? x - left : 0.f, near ? y - top : 0.f, near ? static_cast<int>(left) : -2,
            near ? static_cast<int>(top) : -2};
  }
  __device__ __forceinline__ bool inside(int corner, const LevelSize& level) const {
    return static_cast<unsigned>(x + (corner & 1)) < static_cast<unsigned>(level.width) &&
           static_cast<unsigned>(y + (corner >> 1)) < static_cast<unsigned>(level.height);
  }
  __device__ __forceinline__ float weight(int corner) const {
    return (corner & 1 ? fx : 1 - fx) * (corner >> 1 ? fy : 1 - fy);
  }
};

/// Two neighbours; kAligned: by one instruction.
template <bool kAligned, class T>
__device__ __forceinline__ void load_pair(const T* from, float (&pair)[2]) {
  if constexpr (kAligned) {
    cuda::load_packet<2>(from, pair);
  } else {
    pair[0] = cuda::to_float(from[0]);
    pair[1] = cuda::to_float(from[1]);
  }
}

template <bool kAligned>
__device__ __forceinline__ void store_pair(float* to, const float (&pair)[2]) {
  if constexpr (kAligned) {
    cuda::store_packet(to, pair);
  } else {
    to[0] = pair[0];
    to[1] = pair[1];
  }
}

/// Host side: the sizes as the kernels want them.
inline Levels levels_of(const DeformLevel* level, std::int64_t count) {
  Levels levels{};
  levels.count = static_cast<int>(count);
  for (int l = 0; l < levels.count; ++l) {
    levels.level[l] = {static_cast<int>(level[l].height), static_cast<int>(level[l].width),
                       static_cast<int>(level[l].start)};
    levels.tokens += levels.level[l].height * levels.level[l].width;
  }
  return levels;
}

/// As many queries as tokens are taken for the tokens. That decides the order of the work, not its result.
inline QueryTiles tile_queries(const Levels& levels, std::int64_t queries) {
  QueryTiles tiles{};
  tiles.queries = static_cast<int>(queries);
  tiles.levels = levels;
  if (queries != levels.tokens) {
    const int rows = (tiles.queries + kTileWidth - 1) / kTileWidth;
    tiles.levels = {{{rows, kTileWidth, 0}}, 1, rows * kTileWidth};
  }
  for (int l = 0; l < kMaxLevels; ++l) {
    tiles.first[l] = l < tiles.levels.count ? tiles.count : 0x7fffffff;
    const LevelSize& size = tiles.levels.level[l];
    tiles.count +=
        static_cast<int>(cuda::blocks_for(size.height, kTileWidth) * cuda::blocks_for(size.width, kTileWidth));
  }
  return tiles;
}

/// Calls fn with the elements of a packet and whether the models' kernel fits, as constants.
template <class T, class Fn>
void for_variant(bool packets, bool model, Fn&& fn) {
  if (packets && model) return fn.template operator()<cuda::kPacketSize<T>, true>();
  if (packets) return fn.template operator()<cuda::kPacketSize<T>, false>();
  fn.template operator()<1, false>();
}

inline bool is_model(std::int64_t levels, std::int64_t points, std::int64_t dim) {
  return levels == kModelLevels && points == kModelPoints && dim % kTileChannels == 0;
}

}  // namespace visage::ops::deform_detail
