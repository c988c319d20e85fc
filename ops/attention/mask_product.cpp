#include "ops/attention/mask_product.h"

#include "autograd/tape.h"
#include "ops/attention/mask_product_kernels.h"
#include "ops/dispatch.h"
#include "ops/elementwise/add_per_row.h"
#include "ops/linear/linear.h"

#include <algorithm>

namespace visage::ops {
namespace {

void check_inputs(const Tensor& embedding, const Tensor& shift, const Tensor& features, const Tensor& any) {
  check<ShapeError>(embedding.rank() == 3 && features.rank() == 3 && embedding.size(0) == features.size(0) &&
                        embedding.size(2) == features.size(2) && embedding.numel() > 0 && features.numel() > 0,
                    "mask_product_bits: needs embedding [N,Q,C] and features [N,L,C], not empty; got ",
                    embedding.size(), " and ", features.size());
  const Dims rows{embedding.size(0), embedding.size(1)};
  check<ShapeError>(shift.size() == Dims{rows[0], rows[1], 1} && (!any || any.size() == rows),
                    "mask_product_bits: shift must be [N,Q,1] and any [N,Q]; embedding is ", embedding.size());
  for (const Tensor* x : {&embedding, &shift, &features, &any}) {
    if (!*x) continue;
    check<ShapeError>(x->is_contiguous(), "mask_product_bits: inputs must be contiguous; size ", x->size(), ", stride ",
                      x->stride());
    check<DeviceError>(x->device() == embedding.device(), "mask_product_bits: all inputs must be on one device");
  }
  const DType dtype = embedding.dtype();
  check<DTypeError>((dtype == DType::f32 || dtype == DType::bf16) && features.dtype() == dtype,
                    "mask_product_bits: embedding and features must both be f32 or bf16; got ", dtype, " and ",
                    features.dtype());
  check<DTypeError>(shift.dtype() == DType::f32 && (!any || any.dtype() == DType::i32),
                    "mask_product_bits: shift must be f32 and any i32");
  autograd::not_differentiable("mask_product_bits", {embedding, shift, features});
}

Tensor by_ops(const Tensor& embedding, const Tensor& shift, const Tensor& features, MaskBit meaning,
              const Tensor& any) {
  const Tensor logits = matmul_nt(embedding, features);
  add_per_row(logits, shift);
  const Tensor bits = mask_bits(logits, meaning);
  if (any) {
    const auto* word = bits.data<std::int64_t>();
    for (std::int64_t row = 0; row < any.numel(); ++row, word += bits.size(2))
      any.data<std::int32_t>()[row] |= std::any_of(word, word + bits.size(2), [](std::int64_t w) { return w != 0; });
  }
  return bits;
}

}  // namespace

Tensor mask_product_bits(const Tensor& embedding, const Tensor& shift, const Tensor& features, MaskBit meaning,
                         const Tensor& any) {
  check_inputs(embedding, shift, features, any);
  if (embedding.device().type == DeviceType::cpu) return by_ops(embedding, shift, features, meaning, any);
  Tensor bits = Tensor::empty({embedding.size(0), embedding.size(1), (features.size(1) + 63) / 64}, DType::i64,
                              embedding.device());
  const MaskProductArgs args{embedding.view(),          shift.view(),
                             features.view(),           bits.view(),
                             any ? any.view() : View{}, meaning == MaskBit::foreground};
  note_work(2.0 * static_cast<double>(embedding.numel()) * static_cast<double>(features.size(1)), embedding, shift,
            features, bits);
  on_device(
      embedding.device(), [] {}, [&](StreamHandle stream) { mask_product_cuda(args, stream); });
  return bits;
}

}  // namespace visage::ops
