// One step of the tracker on the GPU: one launch, nothing for the host to wait for, everything it changes in device
// memory, so it can be part of a CUDA graph. docs/kernels.md draws its mapping.
//
// Many blocks share the part that can be shared: some read memories and compare them with the frame, a tile of the
// similarity matrix each; others insert the frame into the ring, where an entry is free while the others are read. The
// last block to arrive has the complete matrix and solves the assignment. Bound by latency: 1.5 MB are read at 100
// queries, 256 channels and five frames, by 65 blocks at once; then the assignment is a chain of steps of one warp.
// Run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/assign/assign.cuh"
#include "ops/track/class_score.cuh"
#include "ops/track/cosine_tile.cuh"
#include "ops/track/tracker_step_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops::tracker_detail {
namespace {

using assign_detail::kWarpColumns;
using cuda::kWarpSize;

constexpr int kThreads = kCosineThreads;
constexpr int kWarps = kThreads / kWarpSize;
constexpr float kLargestFloat = 3.402823466e38f;

// The values of TrackerRefusal, which a kernel file cannot include.
enum Refusal { kLogits = 1, kObject = 2, kAppearance = 4, kSimilarity = 8 };

/// Sizes of a step, and where in time it is.
struct Moment {
  int frame, window, queries;
  __device__ int stored() const { return min(frame, window); }
  __device__ std::int64_t next_entry() const { return frame % (window + 1); }
  __device__ std::int64_t entry(int age) const { return (frame - age) % (window + 1); }
};

/// Reads the memory of a slot, whose weights and rows of the ring a warp first writes down in shared memory: rows for
/// cosine_of_pair, which calls load() once a packet.
struct MemoryRows {
  const float* weights;  // [stored], newest first; of the slot of this warp
  const int* rows;       // [stored]: the row of the ring
  int stored, slots;
  const float* ring;
  float* memory;  // where the result is stored, or null
  int depth;

  template <int kSize>
  __device__ void load(std::int64_t slot, int d, float (&values)[kSize]) const {
#pragma unroll
    for (float& value : values) value = 0;
    if (slot >= slots) return;
#pragma unroll 4
    for (int i = 0; i < stored; ++i) {
      float embedding[kSize];
      cuda::load_packet<kSize>(ring + std::int64_t{rows[i]} * depth + d, embedding);
#pragma unroll
      for (int j = 0; j < kSize; ++j) values[j] += weights[i] * embedding[j];
    }
    if (memory) cuda::store_packet(memory + slot * depth + d, values);
  }
};

/// Writes down the memory of `slot`; one warp, and for its own use.
__device__ __forceinline__ void weigh_memory(const Moment& now, bool release, const float* scores,
                                             const int* query_of_slot, std::int64_t slot, float* weights, int* rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, stored = now.stored();
  if (slot >= now.queries) return;
  float sum = 0;
  for (int i = lane; i < stored; i += kWarpSize) {
    const int first = static_cast<int>(now.entry(i + 1)) * now.queries;
    const int row = first + query_of_slot[first + slot];
    const auto age = static_cast<float>(i + 1);
    rows[i] = row;
    weights[i] =
        release ? scores[row] + age / static_cast<float>(stored) : scores[row] * (static_cast<float>(now.window) / age);
    sum += weights[i];
  }
  if (release) {
    sum = cuda::warp_reduce(sum);
    for (int i = lane; i < stored; i += kWarpSize) weights[i] /= sum;
  }
  __syncwarp();
}

/// Copies a row; a lane returns false for a value that is not finite.
template <int kSize>
__device__ __forceinline__ bool copy_row(const float* from, float* to, int depth) {
  bool finite = true;
  for (int d = static_cast<int>(threadIdx.x) % kWarpSize * kSize; d < depth; d += kWarpSize * kSize) {
    float values[kSize];
    cuda::load_packet<kSize>(from + d, values);
#pragma unroll
    for (const float value : values) finite &= fabsf(value) <= kLargestFloat;
    cuda::store_packet(to + d, values);
  }
  return finite;
}

/// Puts query `query` into entry `entry` of the ring; one warp.
template <int kSize>
__device__ void insert(std::int64_t query, std::int64_t row, const float* logits, int classes, const float* object,
                       float* object_ring, int object_depth, const float* appearance, float* appearance_ring,
                       int appearance_depth, float* scores, int* counters) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  int refusal = 0;
  if (!copy_row<kSize>(object + query * object_depth, object_ring + row * object_depth, object_depth))
    refusal |= kObject;
  if (!copy_row<kSize>(appearance + query * appearance_depth, appearance_ring + row * appearance_depth,
                       appearance_depth))
    refusal |= kAppearance;
  for (int c = lane; c < classes; c += kWarpSize) {
    if (!(fabsf(logits[query * classes + c]) <= kLargestFloat)) refusal |= kLogits;
  }
  const float score = max_class_probability(logits + query * classes, classes);
  if (lane == 0) scores[row] = score;
  if (refusal) atomicOr(&counters[kRefusal], refusal);
}

/// True in every thread of the block that arrives last; it can read what the others wrote.
__device__ bool last_to_arrive(int* counters) {
  VISAGE_SHARED(bool, last, );
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(&counters[kArrived], 1) == static_cast<int>(gridDim.x) - 1;
  __syncthreads();
  __threadfence();
  return last;
}

/// Solves the assignment with the whole block; every thread gets the lists, false where there is no solution.
/// kSmall: at most kWarpColumns slots. Then the first warp solves, in shared memory.
template <bool kSmall>
__device__ bool solve(const float* similarity, int slots, unsigned char* scratch, assign_detail::Lists& lists) {
  if constexpr (kSmall) {
    VISAGE_DYNAMIC_SHARED(float, table);
    VISAGE_SHARED(double, row_dual, [kWarpColumns]);
    VISAGE_SHARED(int, column_of_row, [kWarpColumns]);
    VISAGE_SHARED(int, row_of_column, [kWarpColumns]);
    VISAGE_SHARED(int, predecessor, [kWarpColumns]);
    lists = {row_dual, column_of_row, row_of_column, predecessor};
    const int leading = slots | 1;  // odd, so that rows and columns are free of bank conflicts
    for (int i = static_cast<int>(threadIdx.x); i < slots * slots; i += kThreads) {
      table[i / slots * leading + i % slots] = similarity[i];
    }
    __syncthreads();
    bool solved = false;
    if (threadIdx.x < kWarpSize) {
      solved =
          assign_detail::assign_by_warp(assign_detail::Problem<float>{table, leading, 1, slots, slots, true}, lists);
    }
    return __syncthreads_or(solved);
  } else {
    auto* const states = reinterpret_cast<assign_detail::ColumnState*>(scratch);
    auto* const row_dual = reinterpret_cast<double*>(states + slots);
    auto* const column_of_row = reinterpret_cast<int*>(row_dual + slots);
    lists = {row_dual, column_of_row, column_of_row + slots, column_of_row + 2 * slots};
    const assign_detail::Problem<float> problem{similarity, slots, 1, slots, slots, true};
    const bool solved = assign_detail::assign_by_block<kThreads>(problem, lists, states);
    __syncthreads();
    return solved;
  }
}

/// The end of a step, by the last block: the assignment of the frame, or why there is none.
template <bool kSmall>
__device__ void conclude(const Moment& now, const float* similarity, unsigned char* scratch, const float* logits,
                         int classes, double* logit_sums, int* query_of_slot, int* assignment, double* outcome,
                         int* counters) {
  const int thread = static_cast<int>(threadIdx.x);
  const bool first = now.frame == 0;
  int refusal = counters[kRefusal];
  __syncthreads();  // it is read before it is cleared
  assign_detail::Lists lists{};
  if (!first && !refusal && !solve<kSmall>(similarity, now.queries, scratch, lists)) refusal = kSimilarity;
  double total = 0;
  for (int slot = thread; slot < now.queries; slot += kThreads) {
    const int query = refusal ? -1 : first ? slot : lists.column_of_row[slot];
    assignment[slot] = query;
    if (refusal) continue;
    query_of_slot[now.next_entry() * now.queries + slot] = query;
    if (!first) total += similarity[std::int64_t{slot} * now.queries + query];
  }
  total = cuda::block_reduce<kThreads>(total);
  const std::int64_t sums = refusal ? 0 : std::int64_t{now.queries} * classes;
  for (std::int64_t i = thread; i < sums; i += kThreads) {
    const int slot = static_cast<int>(i / classes);
    const std::int64_t query = first ? slot : lists.column_of_row[slot];
    logit_sums[i] = (first ? 0 : logit_sums[i]) + logits[query * classes + i % classes];
  }
  if (thread > 0) return;
  outcome[0] = total;
  outcome[1] = refusal;
  counters[kFrames] = now.frame + (refusal ? 0 : 1);
  counters[kArrived] = counters[kRefusal] = 0;
}

/// Mapping: the first `tiles` blocks own a tile of 8 slots x 32 queries each (cosine_tile.cuh), tiles running along the
/// queries; the others insert eight queries each, a warp a query. The last block to arrive goes on alone.
/// Shared memory: 24 KiB, and what is larger of the similarities (40 KiB for 100 slots) and 64 W bytes of weights.
template <int kSize, bool kSmall>
__global__ void __launch_bounds__(kThreads, 1)
    tracker_step_kernel(const float* logits, const float* object, const float* appearance, float* object_ring,
                        float* appearance_ring, float* scores, int* query_of_slot, double* logit_sums, int* counters,
                        unsigned char* scratch, float* object_memory, float* appearance_memory, float* similarity,
                        int* assignment, double* outcome, int queries, int classes, int object_depth,
                        int appearance_depth, int window, int tiles, float alpha, bool release) {
  const Moment now{counters[kFrames], window, queries};
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, block = static_cast<int>(blockIdx.x);
  if (block >= tiles) {
    const std::int64_t query = std::int64_t{block - tiles} * kWarps + warp;
    if (query < queries) {
      insert<kSize>(query, now.next_entry() * queries + query, logits, classes, object, object_ring, object_depth,
                    appearance, appearance_ring, appearance_depth, scores, counters);
    }
  } else if (now.frame > 0) {
    VISAGE_SHARED(CosineStage, stage, );
    const int across = (queries + kCosineColumns - 1) / kCosineColumns;
    const std::int64_t first_slot = block / across * kCosineRows, first_query = block % across * kCosineColumns;
    VISAGE_DYNAMIC_SHARED(float, all_weights);
    float* const weights = all_weights + warp * window;
    int* const rows = reinterpret_cast<int*>(all_weights + kWarps * window) + warp * window;
    weigh_memory(now, release, scores, query_of_slot, first_slot + warp, weights, rows);
    const auto term = [&](const float* x, const float* ring, float* memory, int depth, float weight) {
      const MemoryRows read{weights, rows, now.stored(), queries, ring, first_query == 0 ? memory : nullptr, depth};
      return cosine_of_pair<kSize>(read, MatrixRows{x, queries, depth}, first_slot, first_query, weight, stage);
    };
    const float value = term(object, object_ring, object_memory, object_depth, 1 - alpha) +
                        term(appearance, appearance_ring, appearance_memory, appearance_depth, alpha);
    const std::int64_t slot = first_slot + cosine_pair_row(), query = first_query + cosine_pair_column();
    if (slot < queries && query < queries) similarity[slot * queries + query] = value;
  }
  if (!last_to_arrive(counters)) return;
  conclude<kSmall>(now, similarity, scratch, logits, classes, logit_sums, query_of_slot, assignment, outcome, counters);
}

__global__ void reset_kernel(int* counters) { counters[threadIdx.x] = 0; }

bool in_packets(const View& x, const View& ring, const View& memory) {
  return x.size[1] % 4 == 0 && cuda::is_packet_aligned(x.data) && cuda::is_packet_aligned(ring.data) &&
         cuda::is_packet_aligned(memory.data);
}

template <int kSize, bool kSmall>
void launch_step(const Step& args, StreamHandle stream) {
  const int queries = static_cast<int>(args.logits.size[0]);
  const unsigned tiles = cuda::blocks_for(queries, kCosineRows) * cuda::blocks_for(queries, kCosineColumns);
  // Without any query, one block still counts the frame.
  const unsigned insertions = max(1u, cuda::blocks_for(queries, kWarps));
  const int window = static_cast<int>(args.scores.size[0]) - 1;
  const std::size_t table = kSmall ? sizeof(float) * static_cast<std::size_t>(queries) * (queries | 1) : 0;
  const std::size_t weights = (sizeof(float) + sizeof(int)) * kWarps * static_cast<std::size_t>(window);
  cuda::launch<tracker_step_kernel<kSize, kSmall>>(
      {tiles + insertions, kThreads, max(table, weights), stream}, args.logits.as<const float>(),
      args.object.as<const float>(), args.appearance.as<const float>(), args.object_ring.as<float>(),
      args.appearance_ring.as<float>(), args.scores.as<float>(), args.query_of_slot.as<int>(),
      args.logit_sums.as<double>(), args.counters.as<int>(), args.scratch.as<unsigned char>(),
      args.object_memory.as<float>(), args.appearance_memory.as<float>(), args.similarity.as<float>(),
      args.assignment.as<int>(), args.outcome.as<double>(), queries, static_cast<int>(args.logits.size[1]),
      static_cast<int>(args.object.size[1]), static_cast<int>(args.appearance.size[1]), window, static_cast<int>(tiles),
      args.alpha, args.weighting == MemoryWeighting::release);
}

}  // namespace

std::int64_t scratch_bytes(std::int64_t queries) {
  if (queries <= kWarpColumns) return 0;
  return queries * static_cast<std::int64_t>(sizeof(assign_detail::ColumnState) + sizeof(double) + 3 * sizeof(int));
}

void step_cuda(const Step& args, StreamHandle stream) {
  const bool packets = in_packets(args.object, args.object_ring, args.object_memory) &&
                       in_packets(args.appearance, args.appearance_ring, args.appearance_memory);
  const bool small = args.logits.size[0] <= kWarpColumns;
  if (packets)
    small ? launch_step<4, true>(args, stream) : launch_step<4, false>(args, stream);
  else
    small ? launch_step<1, true>(args, stream) : launch_step<1, false>(args, stream);
}

void reset_cuda(const View& counters, StreamHandle stream) {
  cuda::launch<reset_kernel>({1, kCounters, 0, stream}, counters.as<int>());
}

}  // namespace visage::ops::tracker_detail
