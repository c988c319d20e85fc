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
  return mask_product_bits(embedding, shift, std::span(&features, 1), meaning, any)[0];
}

std::vector<Tensor> mask_product_bits(const Tensor& embedding, const Tensor& shift, std::span<const Tensor> features,
                                      MaskBit meaning, const Tensor& any) {
  check<ShapeError>(!features.empty() && features.size() <= kMostMaskMaps, "mask_product_bits: needs 1 to ",
                    kMostMaskMaps, " maps; got ", features.size());
  for (const Tensor& map : features) check_inputs(embedding, shift, map, any);
  std::vector<Tensor> bits;
  if (embedding.device().type == DeviceType::cpu) {
    for (const Tensor& map : features) bits.push_back(by_ops(embedding, shift, map, meaning, any));
    return bits;
  }
  MaskProductArgs args{
      embedding.view(), shift.view(), {}, {}, 0, any ? any.view() : View{}, meaning == MaskBit::foreground};
  std::int64_t pixels = 0;
  for (const Tensor& map : features) {
    bits.push_back(
        Tensor::empty({embedding.size(0), embedding.size(1), (map.size(1) + 63) / 64}, DType::i64, embedding.device()));
    args.features[args.maps] = map.view();
    args.bits[args.maps++] = bits.back().view();
    pixels += map.size(1);
  }
  note_work(2.0 * static_cast<double>(embedding.numel()) * static_cast<double>(pixels), embedding, shift, features,
            std::span<const Tensor>(bits));
  on_device(
      embedding.device(), [] {}, [&](StreamHandle stream) { mask_product_cuda(args, stream); });
  return bits;
}

}  // namespace visage::ops
