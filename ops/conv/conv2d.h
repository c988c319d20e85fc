#pragma once
#include "tensor/activation.h"
#include "tensor/tensor.h"

namespace visage::ops {

struct Conv2dOptions {
  int stride = 1;
  int padding = 0;
  Activation activation = Activation::none;
  /// Added before the activation and then overwritten by the result, which is returned: a residual connection
  /// without a pass of its own. [N, H', W', O], contiguous. Not differentiable.
  Tensor accumulate_into;
  /// dtype of the result; f32 or bf16.
  DType dtype = DType::f32;
};

/// 2-D convolution (cross-correlation) with zero padding.
///   y[n,h,w,o] = act( b[o] + sum_{i,j,c} x[n, s*h+i-p, s*w+j-p, c] * weight[o,i,j,c] [+ residual] )
/// x [N, H, W, C] f32 | bf16;  weight [O, kH, kW, C] f32;  bias [O] f32 or empty;  returns [N, H', W', O].
/// bf16 rounds the weights to bf16 and accumulates in f32; Autocast (ops/autocast.h) rounds f32 inputs too. On the GPU
/// bf16 also rounds the bias, the gradients, and, where no fused kernel has them, sums that go to an f32 result.
/// Differentiable in x, weight and bias; the convolutions of the backward run in the type of the forward's.
/// throws ShapeError if the channels do not agree or the result would be empty; AutogradError if accumulate_into is
/// given and a gradient is wanted.
[[nodiscard]] Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options);

}  // namespace visage::ops
