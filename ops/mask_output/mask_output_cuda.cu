// Final masks on the GPU: both resizings, the threshold and the quality, bit-packed, without any image of logits in
// memory. At the size of a frame it is bound by arithmetic and shared memory, about 30 operations a pixel; a mask reads
// its logits from the cache and writes a bit a pixel. Run on the host against the CPU op; not yet run or timed on a
// GPU.
#include "ops/attention/sigmoid_threshold.h"
#include "ops/mask_output/mask_output_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

using cuda::kWarpSize;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kGroup = kMaskGroup;  // columns of a block: 32 columns of any height fill whole 32-bit words

/// One axis of a bilinear resizing in -> out, align_corners = false: the arithmetic of ops/resize/bilinear.h.
struct Axis {
  int in, out;

  template <class At>
  __device__ __forceinline__ float sample(int index, At&& at) const {
    const float ratio = static_cast<float>(in) / static_cast<float>(out);
    const float source = fmaxf(ratio * (static_cast<float>(index) + 0.5f) - 0.5f, 0.f);
    const int lower = min(static_cast<int>(source), in - 1), upper = min(lower + 1, in - 1);
    const float weight = source - static_cast<float>(lower);
    return (1 - weight) * at(lower) + weight * at(upper);
  }
};

struct Sizes {
  Axis image_y, image_x;    // logits -> padded input, of which the image is the first part
  Axis output_y, output_x;  // image -> output
  __device__ bool same() const { return output_y.in == output_y.out && output_x.in == output_x.out; }
};

/// Column x of the image or, with kOutput, of the output, at the height of the logits; one warp. True in all lanes if a
/// value is positive: else no pixel of the column can be.
template <bool kOutput>
__device__ __forceinline__ bool blend_column(const float* logits, const Sizes& sizes, int x, float* blended) {
  const int width = sizes.image_x.in;
  bool positive = false;
  for (int y = static_cast<int>(threadIdx.x) % kWarpSize; y < sizes.image_y.in; y += kWarpSize) {
    const auto image = [&](int column) {
      return sizes.image_x.sample(column, [&](int i) { return logits[std::int64_t{y} * width + i]; });
    };
    const float value = kOutput ? sizes.output_x.sample(x, image) : image(x);
    blended[y] = value;
    positive |= value > 0;
  }
  __syncwarp();
  return __any_sync(cuda::kAllLanes, positive);
}

/// Sets the bits of the positive ones of 32 consecutive rows, one a lane, from bit `at` on.
__device__ __forceinline__ void put_bits(bool positive, int at, unsigned* words) {
  const unsigned bits = __ballot_sync(cuda::kAllLanes, positive);
  if (threadIdx.x % kWarpSize != 0 || bits == 0) return;
  atomicOr(&words[at / 32], bits << at % 32);
  if (at % 32) atomicOr(&words[at / 32 + 1], bits >> (32 - at % 32));
}

/// Stretches a blended column over the rows of the image; gives its quality, and its bits where `words` is not null.
__device__ __forceinline__ void measure_column(const Sizes& sizes, int rows, const float* blended, int first_bit,
                                               unsigned* words, double& sum, int& count) {
  float column_sum = 0;
  for (int first = 0; first < rows; first += kWarpSize) {
    const int y = first + static_cast<int>(threadIdx.x) % kWarpSize;
    const float logit = y < rows ? sizes.image_y.sample(y, [&](int i) { return blended[i]; }) : -1.f;
    if (words) put_bits(logit > 0, first_bit + first, words);
    if (logit >= kLeastAboveHalf) {
      column_sum += 1 / (1 + expf(-logit));
      ++count;
    }
  }
  sum += column_sum;
}

/// Stretches a blended column to the image and from there to the rows of the output.
__device__ __forceinline__ void draw_column(const Sizes& sizes, int rows, const float* blended, int first_bit,
                                            unsigned* words) {
  for (int first = 0; first < rows; first += kWarpSize) {
    const int y = first + static_cast<int>(threadIdx.x) % kWarpSize;
    const auto image = [&](int row) { return sizes.image_y.sample(row, [&](int i) { return blended[i]; }); };
    put_bits(y < rows && sizes.output_y.sample(y, image) > 0, first_bit + first, words);
  }
}

/// True if one of this block's share of the logits of a query is positive.
__device__ __forceinline__ bool share_has_positive(const float* logits, int count, int group, int groups) {
  bool positive = false;
  for (int i = group * kThreads + static_cast<int>(threadIdx.x); i < count; i += groups * kThreads)
    positive |= logits[i] > 0;
  return __syncthreads_or(positive);
}

/// Mapping: blocks run over queries, and for each over groups of 32 columns: first those of the image, whose quality
/// they sum up, then those of the output, unless that is the image. A warp owns a column at a time: it blends the
/// columns of logits around it, a lane a row, then walks down the resized column 32 pixels at a time, one vote a word
/// of bits. Words are collected in shared memory, where a column need not start at a word, and written in one stream.
/// Shared memory: rows of the output + 8 rows of the logits, 4 bytes each. No sum depends on the order of the warps.
__global__ void __launch_bounds__(kThreads)
    mask_kernel(const float* logits, unsigned* bits, double* partial_sum, int* partial_count, int* partial_seen,
                Axis image_y, Axis image_x, Axis output_y, Axis output_x, int groups) {
  VISAGE_DYNAMIC_SHARED(unsigned, words);
  const Sizes sizes{image_y, image_x, output_y, output_x};
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarpSize;
  const int area = image_y.in * image_x.in;
  const std::int64_t query = blockIdx.x / groups;
  const int group = static_cast<int>(blockIdx.x) % groups;
  const int image_groups = (output_x.in + kGroup - 1) / kGroup;
  const bool output = group >= image_groups;
  const bool draws = output || sizes.same();
  const int rows = output ? output_y.out : output_y.in, columns = output ? output_x.out : output_x.in;
  const int first_column = (output ? group - image_groups : group) * kGroup;
  logits += query * area;
  float* const blended = reinterpret_cast<float*>(words + output_y.out + 2) + warp * image_y.in;
  for (int i = thread; i < output_y.out + 2; i += kThreads) words[i] = 0;
  const bool seen = share_has_positive(logits, area, group, groups);

  double sum = 0;
  int count = 0;
  for (int c = warp; c < min(kGroup, columns - first_column); c += kWarps) {
    const int x = first_column + c;
    if (output) {
      if (blend_column<true>(logits, sizes, x, blended)) draw_column(sizes, rows, blended, c * rows, words);
    } else if (blend_column<false>(logits, sizes, x, blended)) {
      measure_column(sizes, rows, blended, c * rows, draws ? words : nullptr, sum, count);
    }
    __syncwarp();  // the next column overwrites this one
  }
  sum = cuda::block_reduce<kThreads>(sum);
  count = cuda::block_reduce<kThreads>(count);
  if (thread == 0) {
    partial_seen[blockIdx.x] = seen;
    partial_sum[blockIdx.x] = sum;
    partial_count[blockIdx.x] = count;
  }
  if (!draws) return;
  // A mask takes whole 64-bit words, so the last group may have a word more than it has rows.
  const std::int64_t first_word = std::int64_t{first_column} / kGroup * rows;
  const std::int64_t all_words = (std::int64_t{rows} * columns + 63) / 64 * 2;
  const bool last = first_column + kGroup >= columns;
  const int own = static_cast<int>(last ? all_words - first_word : rows);
  for (int i = thread; i < own; i += kThreads) bits[query * all_words + first_word + i] = words[i];
}

/// Adds up the groups of each query; a warp a query, in a fixed order.
__global__ void __launch_bounds__(kThreads)
    quality_kernel(const double* partial_sum, const int* partial_count, const int* partial_seen, double* quality_sum,
                   std::int64_t* quality_count, int* seen_out, std::int64_t queries, int groups) {
  const std::int64_t query = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarpSize;
  if (query >= queries) return;  // the whole warp leaves
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  double sum = 0;
  long long count = 0;
  int seen = 0;
  for (std::int64_t i = query * groups + lane; i < (query + 1) * groups; i += kWarpSize) {
    sum += partial_sum[i];
    count += partial_count[i];
    seen |= partial_seen[i];
  }
  sum = cuda::warp_reduce(sum);
  count = cuda::warp_reduce(count);
  const bool any = __any_sync(cuda::kAllLanes, seen);
  if (lane > 0) return;
  quality_sum[query] = sum;
  quality_count[query] = count;
  seen_out[query] = any;
}

}  // namespace

void mask_batch_cuda(const MaskBatchArgs& args, StreamHandle stream) {
  const std::int64_t queries = args.logits.size[0];
  const auto axis = [](std::int64_t in, std::int64_t out) { return Axis{static_cast<int>(in), static_cast<int>(out)}; };
  const int groups = static_cast<int>(args.partial_sum.size[1]);
  const std::size_t shared = 4 * static_cast<std::size_t>(args.output_height + 2 + kWarps * args.logits.size[1]);
  cuda::launch<mask_kernel>({static_cast<unsigned>(queries * groups), kThreads, shared, stream},
                            args.logits.as<const float>(), args.bits.as<unsigned>(), args.partial_sum.as<double>(),
                            args.partial_count.as<int>(), args.partial_seen.as<int>(),
                            axis(args.logits.size[1], args.padded_height), axis(args.logits.size[2], args.padded_width),
                            axis(args.image_height, args.output_height), axis(args.image_width, args.output_width),
                            groups);
  cuda::launch<quality_kernel>({cuda::blocks_for(queries, kWarps), kThreads, 0, stream},
                               args.partial_sum.as<const double>(), args.partial_count.as<const int>(),
                               args.partial_seen.as<const int>(), args.quality_sum.as<double>(),
                               args.quality_count.as<std::int64_t>(), args.seen.as<int>(), queries, groups);
}

}  // namespace visage::ops
