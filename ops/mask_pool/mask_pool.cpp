#include "ops/mask_pool/mask_pool.h"

#include "autograd/tape.h"
#include "ops/attention/attention_mask.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/mask_pool/mask_pool_kernels.h"
#include "ops/resize/resize.h"
#include "ops/shape/views.h"
#include "tensor/cuda/splits.h"

namespace visage::ops {
namespace {

void check_map(const MaskPoolMap& map) {
  const auto& [features, bits, scale, shift] = map;
  check<ShapeError>(features.rank() == 3 && features.numel() > 0 && features.stride()[2] == 1,
                    "mask_pool_bits: features must be [N,L,C], not empty, with contiguous rows; got ", features.size(),
                    ", stride ", features.stride());
  check<DTypeError>(features.dtype() == DType::f32 || features.dtype() == DType::bf16,
                    "mask_pool_bits: features must be f32 or bf16; got ", features.dtype());
  const std::int64_t batch = features.size(0), words = (features.size(1) + 63) / 64, channels = features.size(2);
  check<ShapeError>(bits.rank() == 3 && bits.size(0) == batch && bits.size(2) == words && bits.is_contiguous(),
                    "mask_pool_bits: bits must be contiguous [", batch, ", Q, ", words, "]; got ", bits.size());
  check<DTypeError>(bits.dtype() == DType::i64, "mask_pool_bits: bits must be i64; got ", bits.dtype());
  check<ShapeError>(static_cast<bool>(scale) == static_cast<bool>(shift),
                    "mask_pool_bits: scale and shift go together");
  for (const Tensor* x : {&bits, &scale, &shift})
    check<DeviceError>(!*x || x->device() == features.device(), "mask_pool_bits: all inputs must be on one device");
  for (const Tensor* x : {&scale, &shift}) {
    if (!*x) continue;
    check<ShapeError>(x->size() == Dims{batch, channels} && x->stride() == scale.stride() && x->stride()[1] == 1,
                      "mask_pool_bits: scale and shift must be [", batch, ", ", channels,
                      "] of one pitch with contiguous rows; got ", x->size(), ", stride ", x->stride());
    check<DTypeError>(x->dtype() == DType::f32, "mask_pool_bits: scale and shift must be f32; got ", x->dtype());
  }
  autograd::not_differentiable("mask_pool_bits", {features, scale, shift});
}

void pool(std::span<const MaskPoolMap> maps, std::span<const MaskPooled> results, std::span<const MaskPoolArgs> args) {
  const Device device = maps[0].features.device();
  double flops = 0;
  std::vector<Tensor> moved;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    flops += 2.0 * static_cast<double>(results[i].pooled.numel()) * static_cast<double>(maps[i].features.size(1));
    for (const Tensor& x : {maps[i].features, maps[i].bits, results[i].pooled, results[i].counts}) moved.push_back(x);
  }
  note_work(flops, std::span<const Tensor>(moved));
  on_device(
      device,
      [&] {
        for (const MaskPoolArgs& one : args) mask_pool_cpu(one);
      },
      [&](StreamHandle stream) {
        const Dims& size = results[0].pooled.size();
        if (size.numel() == 0) return;
        std::vector<Tensor> partial;
        std::vector<View> views;
        for (const MaskPoolArgs& one : args) {
          const std::int64_t tile = mask_pool_fits_mma(one) ? kMaskPoolMmaQueries : kMaskPoolQueries;
          const std::int64_t blocks =
              size[0] * ((size[1] + tile - 1) / tile) * ((size[2] + kMaskPoolChannels - 1) / kMaskPoolChannels);
          partial.push_back(Tensor::empty({cuda::split_count(blocks, one.bits.size[2]), size[0], size[1], size[2]},
                                          DType::f32, device));
          views.push_back(partial.back().view());
        }
        mask_pool_cuda(args.data(), views.data(), static_cast<int>(args.size()), stream);
      });
}

}  // namespace

MaskPooled mask_pool(const Tensor& features, const Tensor& mask_logits) {
  check<ShapeError>(features.rank() == 4 && features.is_contiguous(),
                    "mask_pool: features must be contiguous [N,H,W,C]; got ", features.size());
  check<ShapeError>(mask_logits.rank() == 4 && mask_logits.size(0) == features.size(0),
                    "mask_pool: mask_logits must be [", features.size(0), ",Q,h,w]; got ", mask_logits.size());
  autograd::not_differentiable("mask_pool (the mask logits, thresholded constants)", {mask_logits});
  MaskPooled result;
  Tensor bits;
  const Dims tokens{features.size(0), features.size(1) * features.size(2), features.size(3)};
  {
    const autograd::NoGrad off;
    const Tensor logits = resize_bilinear_planes(mask_logits, features.size(1), features.size(2));
    bits = mask_bits(reshape(logits, {logits.size(0), logits.size(1), tokens[1]}), MaskBit::foreground);
    result = mask_pool_bits(reshape(features, tokens), bits);
  }
  autograd::record("mask_pool", std::span(&features, 1), result.pooled,
                   [=, counts = result.counts](const Tensor& gy, std::span<const autograd::GradTarget> targets) {
                     Gradient gfeatures = gradient_of(targets, 0);
                     gfeatures.to.size = tokens;
                     const MaskPoolBackwardArgs args{gy.view(), bits.view(), counts.view(), gfeatures};
                     note_work(2.0 * static_cast<double>(gy.numel()) * static_cast<double>(tokens[1]), gy, bits,
                               gfeatures.to);
                     on_device(
                         gy.device(), [&] { mask_pool_backward_cpu(args); },
                         [&](StreamHandle stream) { mask_pool_backward_cuda(args, stream); });
                   });
  return result;
}

MaskPooled mask_pool_bits(const Tensor& features, const Tensor& bits, const Tensor& scale, const Tensor& shift) {
  const MaskPoolMap map{features, bits, scale, shift};
  return mask_pool_bits(std::span(&map, 1))[0];
}

std::vector<MaskPooled> mask_pool_bits(std::span<const MaskPoolMap> maps) {
  check<ShapeError>(!maps.empty() && maps.size() <= kMostPoolMaps, "mask_pool_bits: needs 1 to ", kMostPoolMaps,
                    " maps; got ", maps.size());
  std::vector<MaskPooled> results;
  std::vector<MaskPoolArgs> args;
  for (const MaskPoolMap& map : maps) {
    const Tensor &features = map.features, &bits = map.bits;
    check_map(map);
    check<ShapeError>(features.size(0) == maps[0].features.size(0) && features.size(2) == maps[0].features.size(2) &&
                          bits.size(1) == maps[0].bits.size(1) && features.dtype() == maps[0].features.dtype(),
                      "mask_pool_bits: maps must agree in N, Q, C and dtype; got ", features.size(), " beside ",
                      maps[0].features.size());
    const Dims size{features.size(0), bits.size(1), features.size(2)};
    const MaskPooled& result =
        results.emplace_back(MaskPooled{Tensor::empty(size, DType::f32, features.device()),
                                        Tensor::empty({size[0], size[1]}, DType::i64, features.device())});
    args.push_back({features.view(), bits.view(), map.scale ? map.scale.view() : View{},
                    map.shift ? map.shift.view() : View{}, result.pooled.view(), result.counts.view()});
  }
  pool(maps, results, args);
  return results;
}

}  // namespace visage::ops
