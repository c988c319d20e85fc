#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

struct LayerNormOptions {
  /// Added to the variance, so that constant rows stay finite.
  float eps = 1e-5f;
};

/// Layer normalisation over the last axis (Ba, Kiros & Hinton 2016, eq. 3-4):
///   y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias        var: mean of squared deviations
/// x [..., C] f32 | bf16 | f16, contiguous;  weight, bias [C] f32;  returns y like x. Differentiable in all three.
/// Statistics are two-pass and in f32 whatever x is: large means do not cancel.
/// throws ShapeError if weight or bias is not [C] or a tensor is not contiguous; DTypeError; DeviceError if the tensors
/// are on different devices.
[[nodiscard]] Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                const LayerNormOptions& options = {});

/// layer_norm(x + residual): the post-norm of a transformer layer in one pass. The sum is formed in f32 and not rounded
/// to the element type. residual like x; differentiable too. Otherwise as layer_norm.
[[nodiscard]] Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                                    const LayerNormOptions& options = {});

}  // namespace visage::ops
