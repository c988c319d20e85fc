// Contrastive and cosine loss on the GPU. Ten to a hundred anchors a pair of frames: bound by launch latency, three
// launches forward (four for cosines) and one for each gradient, for all pairs together. Products, softmax and sums are
// f64, as on the CPU. Gradients are gathered: a block owns a row of the embeddings and adds up the anchors that refer
// to it in their order, so nothing is added atomically. Compiled for sm_80 and sm_90 and run on the host against the
// CPU op; not yet run or timed on a GPU.
#include "ops/loss/loss_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

using cuda::kWarpSize;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kTile = 32, kTileThreads = 16;  // products: two by two of a thread
constexpr int kDepth = 16;                    // channels in shared memory at a time
constexpr double kLeastNorm = 1e-12;

/// The n x n products of a pair are row-major at products + first_product[pair].
/// Mapping: block (pair, tile row, tile column), a thread four products; blocks beyond the pair's n leave at once.
/// Shared memory: 8.5 KiB.
__global__ void __launch_bounds__(kTileThreads* kTileThreads)
    products_kernel(const float* key, const float* reference, const std::int64_t* first_product,
                    const std::int64_t* first_anchor, const std::int64_t* key_row, const std::int64_t* reference_row,
                    double* products, int channels) {
  VISAGE_SHARED(double, keys, [kTile][kDepth + 1]);
  VISAGE_SHARED(double, references, [kTile][kDepth + 1]);
  const std::int64_t first = first_anchor[blockIdx.x];
  const int count = static_cast<int>(first_anchor[blockIdx.x + 1] - first);
  const int i0 = static_cast<int>(blockIdx.y) * kTile, j0 = static_cast<int>(blockIdx.z) * kTile;
  if (i0 >= count || j0 >= count) return;  // the whole block leaves
  const int column = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  double sums[2][2] = {};
  for (int c0 = 0; c0 < channels; c0 += kDepth) {
    const int c = c0 + column;
#pragma unroll
    for (int at = row; at < kTile; at += kTileThreads) {
      const bool in_key = c < channels && i0 + at < count, in_reference = c < channels && j0 + at < count;
      keys[at][column] = in_key ? static_cast<double>(key[key_row[first + i0 + at] * channels + c]) : 0;
      references[at][column] =
          in_reference ? static_cast<double>(reference[reference_row[first + j0 + at] * channels + c]) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
#pragma unroll
      for (int a = 0; a < 2; ++a) {
#pragma unroll
        for (int b = 0; b < 2; ++b)
          sums[a][b] += keys[row + a * kTileThreads][k] * references[column + b * kTileThreads][k];
      }
    }
    __syncthreads();
  }
  double* const own = products + first_product[blockIdx.x];
#pragma unroll
  for (int a = 0; a < 2; ++a) {
#pragma unroll
    for (int b = 0; b < 2; ++b) {
      const int i = i0 + row + a * kTileThreads, j = j0 + column + b * kTileThreads;
      if (i < count && j < count) own[std::int64_t{i} * count + j] = sums[a][b];
    }
  }
}

__device__ __forceinline__ double warp_norm(const float* x, int channels) {
  double sum = 0;
  for (int c = static_cast<int>(threadIdx.x) % kWarpSize; c < channels; c += kWarpSize)
    sum += static_cast<double>(x[c]) * static_cast<double>(x[c]);
  return max(sqrt(cuda::warp_reduce(sum)), kLeastNorm);
}

/// Mapping: a warp owns an anchor.
__global__ void __launch_bounds__(kThreads)
    norms_kernel(const float* key, const float* reference, const std::int64_t* key_row,
                 const std::int64_t* reference_row, double* key_norm, double* reference_norm, std::int64_t anchors,
                 int channels) {
  const std::int64_t anchor = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarpSize;
  if (anchor >= anchors) return;
  const double of_key = warp_norm(key + key_row[anchor] * channels, channels);
  const double of_reference = warp_norm(reference + reference_row[anchor] * channels, channels);
  if (threadIdx.x % kWarpSize != 0) return;
  key_norm[anchor] = of_key;
  reference_norm[anchor] = of_reference;
}

/// What an anchor i adds to the loss, from row i of the products. `first_state`: logsumexp of the rows, written here,
/// or norms of the keys. Mapping: a warp owns an anchor. Shared memory: none.
template <bool kCosine>
__global__ void __launch_bounds__(kThreads)
    anchors_kernel(const double* products, const std::int64_t* first_product, const std::int64_t* first_anchor,
                   const std::int64_t* pair_of, double* losses, double* first_state, const double* reference_norm,
                   std::int64_t anchors) {
  const std::int64_t anchor = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarpSize;
  if (anchor >= anchors) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const std::int64_t pair = pair_of[anchor], first = first_anchor[pair];
  const std::int64_t count = first_anchor[pair + 1] - first, i = anchor - first;
  const double* const row = products + first_product[pair] + i * count;
  double sum = 0;
  if constexpr (kCosine) {
    const double norm = first_state[anchor];
    for (std::int64_t j = lane; j < count; j += kWarpSize) {
      const double error = row[j] / (norm * reference_norm[first + j]) - (i == j ? 1 : 0);
      sum += error * error;
    }
    sum = cuda::warp_reduce(sum);
    if (lane == 0) losses[anchor] = sum / static_cast<double>(count);
  } else {
    double shift = row[0];
    for (std::int64_t j = lane; j < count; j += kWarpSize) shift = max(shift, row[j]);
    shift = cuda::warp_reduce<cuda::Max>(shift);
    for (std::int64_t j = lane; j < count; j += kWarpSize) sum += exp(row[j] - shift);
    const double log_sum = shift + log(cuda::warp_reduce(sum));
    if (lane != 0) return;
    first_state[anchor] = log_sum;
    losses[anchor] = log_sum - row[i];
  }
}

/// One block. Shared memory: 64 bytes.
__global__ void __launch_bounds__(kThreads)
    loss_kernel(const double* losses, float* loss, std::int64_t anchors, double num_anchors) {
  double sum = 0;
  for (std::int64_t a = threadIdx.x; a < anchors; a += kThreads) sum += losses[a];
  sum = cuda::block_reduce<kThreads>(sum);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / num_anchors);
}

/// Derivative of the summed loss by product (i, j), and what it adds to the multiple of the own row. Contrastive: s_ij
/// - [i = j], s the softmax of row i. Cosine, with e = 2 (cos_ij - [i = j]) / n: e / (|k_i| |r_j|) and -e cos_ij /
/// |own|^2, unless the own norm is at its bound and so constant.
template <bool kCosine, bool kKey>
__device__ __forceinline__ double product_slope(double product, double first_state, double reference_norm, bool same,
                                                double count, double& own) {
  const double diagonal = same ? 1 : 0;
  if constexpr (kCosine) {
    const double cosine = product / (first_state * reference_norm);
    const double e = 2 * (cosine - diagonal) / count;
    const double norm = kKey ? first_state : reference_norm;
    if (norm > kLeastNorm) own -= e * cosine / (norm * norm);
    return e / (first_state * reference_norm);
  } else {
    return exp(product - first_state) - diagonal;
  }
}

/// Mapping: block (r, c) owns 256 channels of row r of the gradient, a thread a channel. For every anchor of the row
/// the threads first compute the slopes by its products, 256 at a time, then each adds up the other side's rows. Shared
/// memory: 2 KiB of slopes, 64 bytes of a reduction.
template <bool kCosine, bool kKey>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const float* gloss, const float* self, const float* other, const double* products,
                  const double* first_state, const double* reference_norm, const std::int64_t* first_product,
                  const std::int64_t* first_anchor, const std::int64_t* pair_of, const std::int64_t* row_first,
                  const std::int64_t* row_anchor, const std::int64_t* other_row, float* gradient, float beta,
                  int channels, double num_anchors) {
  VISAGE_SHARED(double, slopes, [kThreads]);
  const std::int64_t row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), c = static_cast<int>(blockIdx.y) * kThreads + thread;
  double sum = 0;
  for (std::int64_t at = row_first[row]; at < row_first[row + 1]; ++at) {
    const std::int64_t anchor = row_anchor[at], pair = pair_of[anchor], first = first_anchor[pair];
    const std::int64_t count = first_anchor[pair + 1] - first, mine = anchor - first;
    const double* const table = products + first_product[pair];
    double own = 0;
    for (std::int64_t start = 0; start < count; start += kThreads) {
      const std::int64_t theirs = start + thread;
      if (theirs < count) {
        const std::int64_t i = kKey ? mine : theirs, j = kKey ? theirs : mine;
        slopes[thread] = product_slope<kCosine, kKey>(table[i * count + j], first_state[first + i],
                                                      kCosine ? reference_norm[first + j] : 0, i == j,
                                                      static_cast<double>(count), own);
      }
      __syncthreads();
      const int stop = static_cast<int>(min(count - start, std::int64_t{kThreads}));
      for (int k = 0; k < stop && c < channels; ++k)
        sum += slopes[k] * static_cast<double>(other[other_row[first + start + k] * channels + c]);
      __syncthreads();
    }
    if constexpr (kCosine) {
      own = cuda::block_reduce<kThreads>(own);
      if (c < channels) sum += own * static_cast<double>(self[row * channels + c]);
    }
  }
  if (c >= channels) return;
  const float value[1] = {static_cast<float>(static_cast<double>(*gloss) / num_anchors * sum)};
  cuda::write_gradient(gradient + row * channels + c, beta, value);
}

struct State {
  double *losses, *first, *reference_norm, *products;

  explicit State(const EmbeddingArgs& args)
      : losses(args.state.as<double>()),
        first(losses + args.lists.anchors),
        reference_norm(first + args.lists.anchors),
        products(reference_norm + args.lists.anchors) {}
};

template <bool kCosine, bool kKey>
void gather(const EmbeddingArgs& args, StreamHandle stream) {
  const AnchorLists& lists = args.lists;
  const State state(args);
  const View &self = kKey ? args.key : args.reference, &other = kKey ? args.reference : args.key;
  const Gradient& gradient = kKey ? args.gkey : args.greference;
  const std::int64_t rows = kKey ? lists.key_rows : lists.reference_rows;
  const int channels = static_cast<int>(self.size[-1]);
  if (!gradient || rows * channels == 0) return;
  const dim3 grid(static_cast<unsigned>(rows), cuda::blocks_for(channels, kThreads));
  cuda::launch<gather_kernel<kCosine, kKey>>(
      {grid, kThreads, 0, stream}, args.gloss.as<const float>(), self.as<const float>(), other.as<const float>(),
      state.products, state.first, state.reference_norm, lists.first_product, lists.first_anchor, lists.pair_of,
      kKey ? lists.key_first : lists.reference_first, kKey ? lists.key_anchor : lists.reference_anchor,
      kKey ? lists.reference_row : lists.key_row, gradient.to.as<float>(), gradient.beta, channels, args.num_anchors);
}

}  // namespace

void embedding_loss_cuda(const EmbeddingArgs& args, StreamHandle stream) {
  const AnchorLists& lists = args.lists;
  const State state(args);
  const int channels = static_cast<int>(args.key.size[-1]);
  const unsigned blocks = cuda::blocks_for(lists.anchors, kWarps);
  if (lists.anchors > 0) {
    const dim3 grid(static_cast<unsigned>(lists.pairs), cuda::blocks_for(lists.most, kTile),
                    cuda::blocks_for(lists.most, kTile));
    cuda::launch<products_kernel>({grid, dim3(kTileThreads, kTileThreads), 0, stream}, args.key.as<const float>(),
                                  args.reference.as<const float>(), lists.first_product, lists.first_anchor,
                                  lists.key_row, lists.reference_row, state.products, channels);
    if (args.kind == EmbeddingLoss::cosine) {
      cuda::launch<norms_kernel>({blocks, kThreads, 0, stream}, args.key.as<const float>(),
                                 args.reference.as<const float>(), lists.key_row, lists.reference_row, state.first,
                                 state.reference_norm, lists.anchors, channels);
      cuda::launch<anchors_kernel<true>>({blocks, kThreads, 0, stream}, state.products, lists.first_product,
                                         lists.first_anchor, lists.pair_of, state.losses, state.first,
                                         state.reference_norm, lists.anchors);
    } else {
      cuda::launch<anchors_kernel<false>>({blocks, kThreads, 0, stream}, state.products, lists.first_product,
                                          lists.first_anchor, lists.pair_of, state.losses, state.first,
                                          state.reference_norm, lists.anchors);
    }
  }
  cuda::launch<loss_kernel>({1, kThreads, 0, stream}, state.losses, args.loss.as<float>(), lists.anchors,
                            args.num_anchors);
}

void embedding_loss_backward_cuda(const EmbeddingArgs& args, StreamHandle stream) {
  if (args.kind == EmbeddingLoss::cosine) {
    gather<true, true>(args, stream);
    gather<true, false>(args, stream);
  } else {
    gather<false, true>(args, stream);
    gather<false, false>(args, stream);
  }
}

}  // namespace visage::ops
