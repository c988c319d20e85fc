#pragma once
#include "tensor/tensor.h"

#include <span>
#include <vector>

namespace visage::ops {

struct LevelShape {
  std::int64_t height = 0;
  std::int64_t width = 0;
};

/// Multi-scale deformable attention (Zhu et al., Deformable DETR, equation 3), the form with given locations:
///   out[n,q,h,:] = sum over levels l and points p of weights[n,q,h,l,p] * bilinear(value of level l and head h,
///   location)
/// value [N,L,heads,dim], L = sum of the level areas, levels one after the other in row-major order;
/// locations [N,Lq,heads,levels,points,2] as (x, y) in [0,1] of the level: coordinate x * width - 0.5, zero outside;
/// weights [N,Lq,heads,levels,points] (already normalised). All f32 contiguous. -> [N,Lq,heads*dim] f32.
/// Differentiable in all three; where a location crosses a pixel centre the derivative of the next cell is taken.
/// throws ShapeError if the sizes do not fit together, DTypeError for another type.
[[nodiscard]] Tensor deform_attention(const Tensor& value, std::span<const LevelShape> shapes, const Tensor& locations,
                                      const Tensor& weights);

/// Raw projections of the tokens for the self-attention form. S = heads * levels * points * 3.
struct DeformSampling {
  Tensor value = {};  // [N,L,heads*dim], f32 or bf16; rows may be pitched (a column window of a wider product)
  /// [N,L,S] f32 or bf16, rows may be pitched: offsets [head][level][point][x, y] in pixels of the sampled level, then
  /// logits [head][level * point].
  Tensor sampling = {};
  /// One f32 table a level, [height, S] and [width, S]; row y and row x are added to the sampling row of the level's
  /// token (y, x). They carry the bias and the projected position and level code. Both lists empty: nothing is added.
  std::vector<Tensor> table_y = {};
  std::vector<Tensor> table_x = {};
  std::int64_t heads = 8;
  std::int64_t points = 4;
  DType out = DType::f32;  // f32 or bf16
};

/// Deformable self-attention over all levels in one pass: softmax of the logits, sampling position in pixels
/// (x + 0.5) * width_l / width_q - 0.5 + offset, bilinear gather with zeros outside, weighted sum.
/// -> [N,L,heads*dim] of type `out`. Equals deform_attention on locations reference + offset / (width_l, height_l).
/// throws ShapeError or DTypeError if the parts do not fit together.
[[nodiscard]] Tensor deform_attention_fused(const DeformSampling& input, std::span<const LevelShape> shapes);

}  // namespace visage::ops
