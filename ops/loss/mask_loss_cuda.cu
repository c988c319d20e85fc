// Sigmoid cross-entropy and dice loss on the GPU. Bound by memory bandwidth: forward reads logits and targets once,
// backward reads them again and writes the gradient; a mask is shared by a few blocks, whose sums are added up in a
// fixed order. Compiled for sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/loss/loss_kernels.h"
#include "ops/loss/sigmoid.cuh"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

constexpr int kThreads = 256;

/// Two sums over the points of a mask, its term of the loss, and the derivative by a logit.
struct SigmoidCe {
  static __device__ __forceinline__ void add(float x, float t, float& first, float&) {
    first += device_softplus(x) - x * t;
  }
  static __device__ __forceinline__ double term(double first, double, std::int64_t points) {
    return first / static_cast<double>(points);
  }

  float share;
  __device__ __forceinline__ SigmoidCe(double factor, double, double, std::int64_t points)
      : share(static_cast<float>(factor / static_cast<double>(points))) {}
  __device__ __forceinline__ float slope(float x, float t) const { return share * (device_sigmoid(x) - t); }
};

struct Dice {
  static __device__ __forceinline__ void add(float x, float t, float& first, float& second) {
    const float probability = device_sigmoid(x);
    first += probability * t;
    second += probability + t;
  }
  static __device__ __forceinline__ double term(double first, double second, std::int64_t) {
    return 1 - (2 * first + 1) / (second + 1);
  }

  float constant, by_target;
  __device__ __forceinline__ Dice(double factor, double first, double second, std::int64_t) {
    const double both = 2 * first + 1, either = second + 1;
    constant = static_cast<float>(factor * both / (either * either));
    by_target = static_cast<float>(-2 * factor / either);
  }
  __device__ __forceinline__ float slope(float x, float t) const {
    // sigmoid(x) sigmoid(-x): 1 - p would lose what is left of a saturated p
    return (constant + by_target * t) * (device_sigmoid(x) * device_sigmoid(-x));
  }
};

/// sums [M, slices, 2]. Mapping: block (m, s) owns slice s of mask m, a thread every kThreads-th packet of it: at most
/// 16 points in f32, the rest in f64. Shared memory: 64 bytes a reduction.
template <class Loss, int kSize>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const float* logits, const float* targets, double* sums, std::int64_t points) {
  const std::int64_t row = blockIdx.x * points;
  const std::int64_t end = min(points, (blockIdx.y + 1) * kMaskLossSlice);
  float first = 0, second = 0;
  for (std::int64_t p = blockIdx.y * kMaskLossSlice + threadIdx.x * kSize; p < end; p += kThreads * kSize) {
    float x[kSize], t[kSize];
    cuda::load_packet(logits + row + p, x);
    cuda::load_packet(targets + row + p, t);
#pragma unroll
    for (int i = 0; i < kSize; ++i) Loss::add(x[i], t[i], first, second);
  }
  const double first_sum = cuda::block_reduce<kThreads>(static_cast<double>(first));
  const double second_sum = cuda::block_reduce<kThreads>(static_cast<double>(second));
  if (threadIdx.x != 0) return;
  double* const own = sums + 2 * (blockIdx.x * std::int64_t{gridDim.y} + blockIdx.y);
  own[0] = first_sum;
  own[1] = second_sum;
}

struct RowSums {
  double first = 0, second = 0;
};

__device__ __forceinline__ RowSums add_slices(const double* sums, std::int64_t row, int slices) {
  RowSums total;
  for (std::int64_t i = row * slices; i < (row + 1) * slices; ++i) {
    total.first += sums[2 * i];
    total.second += sums[2 * i + 1];
  }
  return total;
}

/// One block; a thread adds up every kThreads-th mask. Shared memory: 64 bytes.
template <class Loss>
__global__ void __launch_bounds__(kThreads) loss_kernel(const double* sums, float* loss, std::int64_t masks, int slices,
                                                        std::int64_t points, double num_masks) {
  double total = 0;
  for (std::int64_t row = points > 0 ? threadIdx.x : masks; row < masks; row += kThreads) {
    const RowSums row_sums = add_slices(sums, row, slices);
    total += Loss::term(row_sums.first, row_sums.second, points);
  }
  total = cuda::block_reduce<kThreads>(total);
  if (threadIdx.x == 0) *loss = static_cast<float>(total / num_masks);
}

/// Mapping as sums_kernel.
template <class Loss, int kSize>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const float* gloss, const float* logits, const float* targets, const double* sums, float* glogits,
                    float beta, std::int64_t points, double num_masks) {
  const std::int64_t row = blockIdx.x * points;
  const std::int64_t end = min(points, (blockIdx.y + 1) * kMaskLossSlice);
  const RowSums row_sums = add_slices(sums, blockIdx.x, static_cast<int>(gridDim.y));
  const Loss loss(static_cast<double>(*gloss) / num_masks, row_sums.first, row_sums.second, points);
  for (std::int64_t p = blockIdx.y * kMaskLossSlice + threadIdx.x * kSize; p < end; p += kThreads * kSize) {
    float x[kSize], t[kSize];
    cuda::load_packet(logits + row + p, x);
    cuda::load_packet(targets + row + p, t);
#pragma unroll
    for (int i = 0; i < kSize; ++i) x[i] = loss.slope(x[i], t[i]);
    cuda::write_gradient(glogits + row + p, beta, x);
  }
}

/// Calls fn<Loss, kSize>() for the loss and the widest packets that logits, targets and gradient allow.
template <class Fn>
void for_case(MaskLoss kind, const View& logits, const View& targets, const void* gradient, Fn&& fn) {
  constexpr int kPacket = cuda::kPacketSize<float>;
  const bool packets = logits.size[1] % kPacket == 0 && cuda::is_packet_aligned(logits.data) &&
                       cuda::is_packet_aligned(targets.data) && cuda::is_packet_aligned(gradient);
  if (kind == MaskLoss::dice)
    return packets ? fn.template operator()<Dice, kPacket>() : fn.template operator()<Dice, 1>();
  packets ? fn.template operator()<SigmoidCe, kPacket>() : fn.template operator()<SigmoidCe, 1>();
}

}  // namespace

void mask_loss_cuda(MaskLoss kind, const MaskLossArgs& args, StreamHandle stream) {
  const std::int64_t masks = args.logits.size[0], points = args.logits.size[1];
  const auto slices = static_cast<unsigned>(mask_loss_slices(points));
  for_case(kind, args.logits, args.targets, nullptr, [&]<class Loss, int kSize>() {
    if (args.logits.size.numel() > 0) {
      cuda::launch<sums_kernel<Loss, kSize>>({dim3(static_cast<unsigned>(masks), slices), kThreads, 0, stream},
                                             args.logits.as<const float>(), args.targets.as<const float>(),
                                             args.sums.as<double>(), points);
    }
    cuda::launch<loss_kernel<Loss>>({1, kThreads, 0, stream}, args.sums.as<const double>(), args.loss.as<float>(),
                                    masks, static_cast<int>(slices), points, args.num_masks);
  });
}

void mask_loss_backward_cuda(MaskLoss kind, const MaskLossBackwardArgs& args, StreamHandle stream) {
  const std::int64_t masks = args.logits.size[0], points = args.logits.size[1];
  if (!args.glogits || masks * points == 0) return;
  const dim3 grid(static_cast<unsigned>(masks), static_cast<unsigned>(mask_loss_slices(points)));
  for_case(kind, args.logits, args.targets, args.glogits.to.data, [&]<class Loss, int kSize>() {
    cuda::launch<backward_kernel<Loss, kSize>>({grid, kThreads, 0, stream}, args.gloss.as<const float>(),
                                               args.logits.as<const float>(), args.targets.as<const float>(),
                                               args.sums.as<const double>(), args.glogits.to.as<float>(),
                                               args.glogits.beta, points, args.num_masks);
  });
}

}  // namespace visage::ops
