#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Attention mask of the next decoder layer: the mask logits, resized bilinearly to the level, block a key where their
/// f32 sigmoid is below 0.5. mask_logits [N,Q,h,w] f32 contiguous -> u8 [N,Q,height*width], 1 = blocked.
[[nodiscard]] Tensor attention_mask(const Tensor& mask_logits, std::int64_t height, std::int64_t width);

/// What a set bit of mask_bits stands for; the f32 sigmoid of |logit| < 1e-7 is exactly 0.5, so the two differ.
enum class MaskBit {
  visible,     // !(sigmoid(x) < 0.5): keys an attention row sees
  foreground,  // sigmoid(x) > 0.5: pixels that belong to the mask
};

/// Thresholded logits as bits: [N,Q,L] f32 (rows may be pitched) -> i64 [N,Q,ceil(L/64)], bit l % 64 of word l / 64;
/// unused bits of the last word are 0.
[[nodiscard]] Tensor mask_bits(const Tensor& logits, MaskBit meaning);

}  // namespace visage::ops
