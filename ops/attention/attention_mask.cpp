#include "ops/attention/attention_mask.h"

#include "autograd/tape.h"
#include "ops/attention/attention_mask_kernels.h"
#include "ops/dispatch.h"
#include "ops/resize/resize.h"

namespace visage::ops {

Tensor attention_mask(const Tensor& mask_logits, std::int64_t height, std::int64_t width) {
  check<ShapeError>(mask_logits.rank() == 4, "attention_mask: mask_logits must be [N,Q,h,w]; got ", mask_logits.size());
  autograd::not_differentiable("attention_mask", {mask_logits});
  const Tensor logits = resize_bilinear_planes(mask_logits, height, width);
  const Dims size{mask_logits.size(0), mask_logits.size(1), height * width};
  Tensor out = Tensor::empty(size, DType::u8, mask_logits.device());
  note_work(0, logits, out);
  on_device(
      out.device(), [&] { blocked_cpu(logits.view(), out.view()); },
      [&](StreamHandle stream) { blocked_cuda(logits.view(), out.view(), stream); });
  return out;
}

Tensor mask_bits(const Tensor& logits, MaskBit meaning) {
  check<ShapeError>(logits.rank() == 3 && logits.numel() > 0 && logits.stride()[2] == 1,
                    "mask_bits: logits must be [N,Q,L], not empty, with contiguous rows; got ", logits.size(),
                    ", stride ", logits.stride());
  check<DTypeError>(logits.dtype() == DType::f32, "mask_bits: logits must be f32; got ", logits.dtype());
  autograd::not_differentiable("mask_bits", {logits});
  Tensor bits =
      Tensor::empty({logits.size(0), logits.size(1), (logits.size(2) + 63) / 64}, DType::i64, logits.device());
  const MaskBitsArgs args{logits.view(), bits.view(), meaning == MaskBit::foreground};
  note_work(0, logits, bits);
  on_device(
      logits.device(), [&] { mask_bits_cpu(args); }, [&](StreamHandle stream) { mask_bits_cuda(args, stream); });
  return bits;
}

}  // namespace visage::ops
