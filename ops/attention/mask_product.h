#pragma once
#include "ops/attention/attention_mask.h"
#include "ops/attention/mask_product_kernels.h"

#include <span>
#include <vector>

namespace visage::ops {

/// mask_bits of the mask logits  embedding[n,q] . features[n,l] + shift[n,q], which are not written on a GPU.
/// embedding [N,Q,C] and features [N,L,C] f32 or bf16, of one type, contiguous; shift f32 [N,Q,1];  returns i64
/// [N,Q,ceil(L/64)]. `any`, if given, is i32 [N,Q] of zeros and gets something else where a bit of the row is set: what
/// AttentionOptions::sees_any wants. bf16 products run on tensor cores, sums are f32. Not differentiable.
/// throws ShapeError, DTypeError or DeviceError if the parts do not fit together, AutogradError if a gradient is
/// wanted.
[[nodiscard]] Tensor mask_product_bits(const Tensor& embedding, const Tensor& shift, const Tensor& features,
                                       MaskBit meaning, const Tensor& any = {});

/// The same on several maps [N,L_i,C], at most kMostMaskMaps, in one launch.
[[nodiscard]] std::vector<Tensor> mask_product_bits(const Tensor& embedding, const Tensor& shift,
                                                    std::span<const Tensor> features, MaskBit meaning,
                                                    const Tensor& any = {});

}  // namespace visage::ops
