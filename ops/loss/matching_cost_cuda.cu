// Matching costs on the GPU. [Q,P] x [P,G] with few rows and columns and many points: the points are cut into slices, a
// block sums its slice of a tile of pairs for both mask costs at once, and a second launch adds up the slices in their
// order. Bound by shared memory loads (five for four multiply-adds); device memory is read once a tile of instances.
// Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/sigmoid.cuh"
#include "ops/loss/softmax.cuh"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

using cuda::kWarpSize;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kQueries = 32, kInstances = 16;  // tile of pairs: two a thread
constexpr int kPoints = 32;                    // points in shared memory at a time
// Rows of 36 floats keep 16-byte loads of eight neighbouring rows free of bank conflicts.
constexpr int kLeading = kPoints / 4 + 1;

/// Where the sums of all slices of a frame lie, with room for the most instances that a frame has.
struct Layout {
  std::int64_t queries, instances, slices;

  __device__ __forceinline__ std::int64_t product(std::int64_t slice, int which, std::int64_t q, std::int64_t g) const {
    return ((slice * 2 + which) * queries + q) * instances + g;
  }
  __device__ __forceinline__ std::int64_t query_sum(std::int64_t slice, int which, std::int64_t q) const {
    return slices * 2 * queries * instances + (slice * 2 + which) * queries + q;
  }
  __device__ __forceinline__ std::int64_t target_sum(std::int64_t slice, std::int64_t g) const {
    return slices * 2 * queries * (instances + 1) + slice * instances + g;
  }
  __device__ __forceinline__ std::int64_t size() const { return target_sum(slices, 0); }
};

__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
  return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

/// values[i] is this lane's part of row first + i * kWarps + warp; the row's sum goes to sums[at(row)].
template <int kCount, class At>
__device__ __forceinline__ void write_row_sums(float* sums, const float (&values)[kCount], std::int64_t first,
                                               std::int64_t rows, At&& at) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float sum = cuda::warp_reduce(values[i]);
    const std::int64_t row = first + i * kWarps + threadIdx.x / kWarpSize;
    if (threadIdx.x % kWarpSize == 0 && row < rows) sums[at(row)] = sum;
  }
}

/// For every pair x.t and sigmoid(x).t, for every query the sums of softplus(x) and sigmoid(x), for every instance the
/// sum of t, over the points of one slice. Mapping: block (queries, instances, slice of a frame), those beyond a
/// frame's instances leave at once; while loading a warp owns every eighth row and a lane a point; while multiplying
/// thread i has instance i % 16 and queries i / 16 and i / 16 + 16. Shared memory: 11.5 KiB.
__global__ void __launch_bounds__(kThreads)
    mask_sums_kernel(const float* logits, const float* targets, const std::int64_t* starts, float* sums,
                     std::int64_t queries, std::int64_t most, std::int64_t points, std::int64_t slices) {
  VISAGE_SHARED(float4, x, [kQueries][kLeading]);
  VISAGE_SHARED(float4, p, [kQueries][kLeading]);
  VISAGE_SHARED(float4, t, [kInstances][kLeading]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize, warp = thread / kWarpSize;
  const std::int64_t first_query = std::int64_t{blockIdx.x} * kQueries;
  const std::int64_t first_instance = std::int64_t{blockIdx.y} * kInstances;
  const std::int64_t frame = blockIdx.z / slices, slice = blockIdx.z % slices;
  const std::int64_t instances = starts[frame + 1] - starts[frame];
  if (first_instance >= instances) return;  // the whole block
  logits += frame * queries * points;
  targets += starts[frame] * points;
  const Layout layout{queries, most, slices};
  sums += frame * layout.size();
  const std::int64_t end = min(points, (slice + 1) * kMaskCostSlice);
  float softplus_sum[kQueries / kWarps] = {}, probability_sum[kQueries / kWarps] = {};
  float target_sum[kInstances / kWarps] = {};
  float with_logit[2] = {}, with_probability[2] = {};
  const int g = thread % kInstances, q = thread / kInstances;
  for (std::int64_t chunk = slice * kMaskCostSlice; chunk < end; chunk += kPoints) {
    const std::int64_t point = chunk + lane;
#pragma unroll
    for (int i = 0; i < kQueries / kWarps; ++i) {
      const int row = i * kWarps + warp;
      const bool valid = point < end && first_query + row < queries;
      const float value = valid ? logits[(first_query + row) * points + point] : 0.f;
      const float probability = valid ? device_sigmoid(value) : 0.f;
      reinterpret_cast<float*>(x[row])[lane] = value;
      reinterpret_cast<float*>(p[row])[lane] = probability;
      softplus_sum[i] += valid ? device_softplus(value) : 0.f;
      probability_sum[i] += probability;
    }
#pragma unroll
    for (int i = 0; i < kInstances / kWarps; ++i) {
      const int row = i * kWarps + warp;
      const bool valid = point < end && first_instance + row < instances;
      const float value = valid ? targets[(first_instance + row) * points + point] : 0.f;
      reinterpret_cast<float*>(t[row])[lane] = value;
      target_sum[i] += value;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kPoints / 4; ++k) {
      const float4 target = t[g][k];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        with_logit[i] = dot(x[q + i * kInstances][k], target, with_logit[i]);
        with_probability[i] = dot(p[q + i * kInstances][k], target, with_probability[i]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::int64_t query = first_query + q + i * kInstances, instance = first_instance + g;
    if (query >= queries || instance >= instances) continue;
    sums[layout.product(slice, 0, query, instance)] = with_logit[i];
    sums[layout.product(slice, 1, query, instance)] = with_probability[i];
  }
  if (blockIdx.y == 0) {
    write_row_sums(sums, softplus_sum, first_query, queries,
                   [&](std::int64_t query) { return layout.query_sum(slice, 0, query); });
    write_row_sums(sums, probability_sum, first_query, queries,
                   [&](std::int64_t query) { return layout.query_sum(slice, 1, query); });
  }
  if (blockIdx.x == 0) {
    write_row_sums(sums, target_sum, first_instance, instances,
                   [&](std::int64_t instance) { return layout.target_sum(slice, instance); });
  }
}

/// Mapping: a thread owns a pair and adds up its slices in f64. class_cost may be null.
__global__ void __launch_bounds__(kThreads)
    cost_kernel(const float* sums, const std::int64_t* starts, const float* class_cost, float* cost,
                std::int64_t frames, std::int64_t queries, std::int64_t most, std::int64_t points, std::int64_t slices,
                double ce_weight, double dice_weight, double class_weight) {
  const std::int64_t at = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (at >= frames * queries * most) return;
  const std::int64_t frame = at / (queries * most), q = at / most % queries, g = at % most;
  if (g >= starts[frame + 1] - starts[frame]) {
    cost[at] = 0;
    return;
  }
  const Layout layout{queries, most, slices};
  sums += frame * layout.size();
  double with_logit = 0, with_probability = 0, softplus_sum = 0, probability_sum = 0, target_sum = 0;
  for (std::int64_t slice = 0; slice < slices; ++slice) {
    with_logit += static_cast<double>(sums[layout.product(slice, 0, q, g)]);
    with_probability += static_cast<double>(sums[layout.product(slice, 1, q, g)]);
    softplus_sum += static_cast<double>(sums[layout.query_sum(slice, 0, q)]);
    probability_sum += static_cast<double>(sums[layout.query_sum(slice, 1, q)]);
    target_sum += static_cast<double>(sums[layout.target_sum(slice, g)]);
  }
  const auto ce = static_cast<float>((softplus_sum - with_logit) / static_cast<double>(points));
  const auto dice = static_cast<float>(1 - (2 * with_probability + 1) / (probability_sum + target_sum + 1));
  // A part without weight is left out, also where it is not finite.
  double total = ce_weight != 0 ? ce_weight * static_cast<double>(ce) : 0;
  if (class_cost) total += class_weight * static_cast<double>(class_cost[at]);
  if (dice_weight != 0) total += dice_weight * static_cast<double>(dice);
  cost[at] = static_cast<float>(total);
}

/// Mapping: a warp owns a query; a lane every 32nd class, then every 32nd instance. A label that is no class costs NaN.
__global__ void __launch_bounds__(kThreads)
    class_cost_kernel(const float* logits, const std::int64_t* labels, const std::int64_t* starts, float* cost,
                      std::int64_t rows, std::int64_t queries, std::int64_t most, int classes) {
  const std::int64_t row = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarpSize;
  if (row >= rows) return;
  const std::int64_t first = starts[row / queries], instances = starts[row / queries + 1] - first;
  const float* const x = logits + row * classes;
  const Softmax softmax = warp_softmax(x, classes);
  for (std::int64_t g = threadIdx.x % kWarpSize; g < most; g += kWarpSize) {
    const std::int64_t label = g < instances ? labels[first + g] : 0;
    const bool is_class = label >= 0 && label < classes;
    const float value = is_class ? -expf(x[label] - softmax.shift) / softmax.sum : NAN;
    cost[row * most + g] = g < instances ? value : 0.f;
  }
}

}  // namespace

void class_cost_cuda(const ClassCostArgs& args, StreamHandle stream) {
  const std::int64_t queries = args.logits.size[1], rows = args.logits.size[0] * queries, most = args.cost.size[2];
  if (rows * most == 0) return;
  cuda::launch<class_cost_kernel>({cuda::blocks_for(rows, kWarps), kThreads, 0, stream}, args.logits.as<const float>(),
                                  args.labels.as<const std::int64_t>(), args.starts.as<const std::int64_t>(),
                                  args.cost.as<float>(), rows, queries, most, static_cast<int>(args.logits.size[2]));
}

void combined_cost_cuda(const CombinedCostArgs& args, StreamHandle stream) {
  const std::int64_t frames = args.cost.size[0], queries = args.cost.size[1], most = args.cost.size[2];
  if (args.cost.size.numel() == 0) return;
  const std::int64_t points = args.logits.size[2], slices = mask_cost_slices(points);
  const auto* const starts = args.starts.as<const std::int64_t>();
  const dim3 grid(cuda::blocks_for(queries, kQueries), cuda::blocks_for(most, kInstances),
                  static_cast<unsigned>(frames * slices));
  cuda::launch<mask_sums_kernel>({grid, kThreads, 0, stream}, args.logits.as<const float>(),
                                 args.targets.as<const float>(), starts, args.scratch.as<float>(), queries, most,
                                 points, slices);
  cuda::launch<cost_kernel>({cuda::blocks_for(args.cost.size.numel(), kThreads), kThreads, 0, stream},
                            args.scratch.as<const float>(), starts, args.class_cost.as<const float>(),
                            args.cost.as<float>(), frames, queries, most, points, slices, args.ce_weight,
                            args.dice_weight, args.class_weight);
}

}  // namespace visage::ops
