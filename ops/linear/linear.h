#pragma once
#include "tensor/activation.h"
#include "tensor/tensor.h"

namespace visage::ops {

struct LinearOptions {
  Activation activation = Activation::none;
  /// Added before the activation and then overwritten by the result, which is returned. [..., N], rows may be strided.
  /// Not differentiable.
  Tensor accumulate_into;
  DType dtype = DType::f32;  // of the result: f32 or bf16
};

/// Affine map of the last axis:  y = act(x * weight^T + bias [+ residual]).
/// x [..., K] f32 | bf16, contiguous or rows of constant pitch;  weight [N, K] f32;  bias [N] or empty;  returns [...,
/// N]. bf16 x rounds the weights to bf16 and accumulates in f32; Autocast (ops/autocast.h) rounds f32 x too.
/// Differentiable in x, weight and bias; the products of the backward run in the type of the forward's. throws
/// ShapeError if K differs; AutogradError if accumulate_into is given and a gradient is wanted.
[[nodiscard]] Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
                            const LinearOptions& options = {});

/// y[b] = a[b] * b[b]^T.  a [B, M, K], b [B, N, K] f32 | bf16 (last axis contiguous);  returns [B, M, N] f32.
/// Differentiable in both; the products of the backward run in the type of a.
[[nodiscard]] Tensor matmul_nt(const Tensor& a, const Tensor& b);

}  // namespace visage::ops
