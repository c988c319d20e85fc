#pragma once
#include "ops/mask_pool/mask_pool_kernels.h"
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

struct MaskPooled {
  Tensor pooled;  // f32 [N,Q,C]
  Tensor counts;  // i64 [N,Q], foreground pixels
};

/// Average of the features inside each mask: the logits are resized bilinearly to the size of the features, binarised
/// by sigmoid > 0.5, and pooled = sum over the foreground / (count + 1e-6), so an empty mask gives zeros. features
/// [N,H,W,C] f32, mask_logits [N,Q,h,w] f32, both contiguous. `pooled` is differentiable in the features. The masks are
/// constants by definition, since a threshold has no useful derivative.
/// throws AutogradError if a gradient of mask_logits is wanted: pass autograd::detach(mask_logits).
[[nodiscard]] MaskPooled mask_pool(const Tensor& features, const Tensor& mask_logits);

/// The same from bits (mask_bits, foreground), with a per-channel affine applied after the pooling:
///   pooled = (scale * sum + shift * count) / (count + 1e-6)
/// which equals pooling scale * features + shift (a group norm before it needs no pass over the features).
/// features [N,L,C] f32 or bf16, rows may be pitched; bits i64 [N,Q,ceil(L/64)]; scale and shift f32 [N,C], rows of
/// which may be pitched, or both empty.
[[nodiscard]] MaskPooled mask_pool_bits(const Tensor& features, const Tensor& bits, const Tensor& scale = {},
                                        const Tensor& shift = {});

/// The same of several maps at once, at most kMostPoolMaps, which agree in N, Q, C and dtype: as many launches as for
/// one.
struct MaskPoolMap {
  Tensor features, bits, scale = {}, shift = {};
};
[[nodiscard]] std::vector<MaskPooled> mask_pool_bits(std::span<const MaskPoolMap> maps);

}  // namespace visage::ops
