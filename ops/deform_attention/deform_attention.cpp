#include "ops/deform_attention/deform_attention.h"

#include "ops/deform_attention/deform_attention_kernels.h"
#include "ops/deform_attention/levels.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "tensor/cpu/features.h"
#include "tensor/cuda/determinism.h"

#include <algorithm>
#include <limits>

namespace visage::ops {
namespace {

constexpr double kSampleFlops = 8;  // of a channel of a sample: four corners, each weighted and added

void check_rows(const char* name, const Tensor& x, const Dims& size) {
  check<ShapeError>(x.size() == size && x.stride()[2] == 1, "deform_attention_fused: ", name, " must be ", size,
                    " with contiguous rows; got ", x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::bf16, "deform_attention_fused: ", name,
                    " must be f32 or bf16; got ", x.dtype());
}

void check_table(const char* name, std::size_t level, const Tensor& table, std::int64_t rows, std::int64_t columns) {
  check<ShapeError>(table.size() == Dims{rows, columns} && table.is_contiguous(), "deform_attention_fused: ", name, "[",
                    level, "] must be contiguous [", rows, ", ", columns, "]; got ", table.size());
  check<DTypeError>(table.dtype() == DType::f32, "deform_attention_fused: ", name, "[", level, "] must be f32; got ",
                    table.dtype());
}

}  // namespace

Tensor deform_attention(const Tensor& value, std::span<const LevelShape> shapes, const Tensor& locations,
                        const Tensor& weights) {
  DeformAttentionArgs args{};
  const std::int64_t tokens = set_levels("deform_attention", shapes, args.level);
  const std::int64_t levels = std::ssize(shapes);
  check<ShapeError>(value.rank() == 4 && value.size(1) == tokens, "deform_attention: value must be [N, ", tokens,
                    ", heads, dim]; got ", value.size());
  check<ShapeError>(weights.rank() == 5 && weights.size(0) == value.size(0) && weights.size(2) == value.size(2) &&
                        weights.size(3) == levels,
                    "deform_attention: weights must be [N,Lq,heads,levels,points]; got ", weights.size(), " for value ",
                    value.size(), " and ", levels, " levels");
  check<ShapeError>(weights.size(1) <= std::numeric_limits<int>::max(), "deform_attention: too many queries, ",
                    weights.size(1));
  Dims pairs = weights.size();
  pairs.append(2);
  check<ShapeError>(locations.size() == pairs, "deform_attention: locations must be ", pairs, "; got ",
                    locations.size());
  for (const Tensor* x : {&value, &locations, &weights}) {
    check<DTypeError>(x->dtype() == DType::f32, "deform_attention: inputs must be f32; got ", x->dtype());
    check<ShapeError>(x->is_contiguous(), "deform_attention: inputs must be contiguous; got stride ", x->stride());
  }
  Tensor out =
      Tensor::empty({value.size(0), weights.size(1), value.size(2) * value.size(3)}, DType::f32, value.device());
  args.value = value.view();
  args.locations = locations.view();
  args.weights = weights.view();
  args.out = out.view();
  note_work(kSampleFlops * static_cast<double>(weights.numel()) * static_cast<double>(value.size(3)), value, locations,
            weights, out);
  on_device(
      value.device(), [&] { deform_attention_cpu(args); },
      [&](StreamHandle stream) { deform_attention_cuda(args, stream); });
  const Tensor inputs[] = {value, locations, weights};
  autograd::record("deform_attention", inputs, out, [=](const Tensor& gy, std::span<const autograd::GradTarget> to) {
    DeformBackwardArgs back{gy.view(),
                            value.view(),
                            locations.view(),
                            weights.view(),
                            gradient_of(to, 0),
                            gradient_of(to, 1),
                            gradient_of(to, 2),
                            {},
                            {},
                            {}};
    std::copy_n(args.level, kMaxLevels, back.level);
    note_work(3 * kSampleFlops * static_cast<double>(weights.numel()) * static_cast<double>(value.size(3)), gy, value,
              locations, weights, back.gvalue.to, back.glocations.to, back.gweights.to);
    on_device(
        gy.device(), [&] { deform_attention_backward_cpu(back); },
        [&](StreamHandle stream) {
          Tensor fixed, largest;
          if (back.gvalue && cuda::deterministic()) {
            fixed = Tensor::zeros(value.size(), DType::i64, value.device());
            largest = Tensor::zeros({2}, DType::i32, value.device());
            back.fixed = fixed.view();
            back.largest = largest.view();
          }
          deform_attention_backward_cuda(back, stream);
        });
  });
  return out;
}

Tensor deform_attention_fused(const DeformSampling& input, std::span<const LevelShape> shapes) {
  DeformFusedArgs args{};
  const std::int64_t tokens = set_levels("deform_attention_fused", shapes, args.level);
  const Tensor& value = input.value;
  check<ShapeError>(value.rank() == 3 && value.size(1) == tokens && input.heads > 0 && input.points > 0 &&
                        value.size(2) % input.heads == 0,
                    "deform_attention_fused: value must be [N, ", tokens, ", C] with C a multiple of ", input.heads,
                    " heads; got ", value.size());
  const std::int64_t columns = input.heads * std::ssize(shapes) * input.points * 3;
  check_rows("value", value, value.size());
  check_rows("sampling", input.sampling, {value.size(0), tokens, columns});
  check<DTypeError>(input.out == DType::f32 || input.out == DType::bf16,
                    "deform_attention_fused: out must be f32 or bf16; got ", input.out);
  check<ShapeError>(
      (input.table_y.empty() || input.table_y.size() == shapes.size()) && input.table_y.size() == input.table_x.size(),
      "deform_attention_fused: needs one table_y and one table_x a level or none; got ", input.table_y.size(), " and ",
      input.table_x.size(), " for ", shapes.size(), " levels");
  for (std::size_t l = 0; l < input.table_y.size(); ++l) {
    check_table("table_y", l, input.table_y[l], shapes[l].height, columns);
    check_table("table_x", l, input.table_x[l], shapes[l].width, columns);
    args.table_y[l] = input.table_y[l].view();
    args.table_x[l] = input.table_x[l].view();
  }
  autograd::not_differentiable("deform_attention_fused", {value, input.sampling});
  Tensor out = Tensor::empty(value.size(), input.out, value.device());
  args.value = value.view();
  args.sampling = input.sampling.view();
  args.out = out.view();
  args.levels = std::ssize(shapes);
  args.heads = input.heads;
  args.points = input.points;
  note_work(kSampleFlops * static_cast<double>(out.numel() * args.levels * args.points), value, input.sampling, out);
  on_device(
      value.device(),
      [&] {
        if (cpu::features().avx512 && deform_attention_fused_fits_avx512(args))
          deform_attention_fused_avx512(args);
        else
          deform_attention_fused_cpu(args);
      },
      [&](StreamHandle stream) { deform_attention_fused_cuda(args, stream); });
  return out;
}

}  // namespace visage::ops
