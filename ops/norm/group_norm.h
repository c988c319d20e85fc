#pragma once
#include "tensor/activation.h"
#include "tensor/tensor.h"

namespace visage::ops {

struct GroupNormOptions {
  int groups = 32;
  float eps = 1e-5f;
  Activation activation = Activation::none;
  /// Where the result goes: same size as x, pixels of one pitch (a level of a token pyramid). Empty: a new tensor.
  /// Not differentiable.
  Tensor out;
};

/// Group normalisation of images (Wu & He 2018, eq. 1): mean and variance over the pixels and channels of a group.
///   y = act((x - mean) / sqrt(var + eps) * weight + bias)
/// x [N, H, W, C] or [N, L, C] f32 | bf16, pixels of one pitch;  weight, bias [C] f32.
/// Statistics are two-pass within cache blocks and merged (Chan et al.), in f32: large means do not cancel.
/// Differentiable in x, weight and bias.
/// throws ShapeError if C is no multiple of groups; AutogradError if `out` is given and a gradient is wanted.
[[nodiscard]] Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                const GroupNormOptions& options = {});

/// The same normalisation as a map per image and channel, y = x * scale + shift, for kernels that apply it later.
/// Not differentiable.
struct ScaleShift {
  Tensor scale, shift;  // [N, C] f32
};
[[nodiscard]] ScaleShift group_norm_scale_shift(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                const GroupNormOptions& options = {});

/// y = act(x * scale + shift [+ residual]) with one scale and shift a channel: scale, shift [C], or [N, C] for one a
/// image, rows of which may be pitched (a window on the map of more channels). x [N, ..., C] f32 | bf16;  residual
/// contiguous and like x;  `out` as in GroupNormOptions. Differentiable in x, the residual and, where they are [C],
/// scale and shift. throws AutogradError if a gradient of a scale or shift an image is wanted, or any with `out`.
struct ChannelAffineOptions {
  Activation activation = Activation::none;
  Tensor out;
  Tensor residual;
};
[[nodiscard]] Tensor channel_affine(const Tensor& x, const Tensor& scale, const Tensor& shift,
                                    const ChannelAffineOptions& options = {});

/// Batch normalisation with constant statistics (detectron2's FrozenBatchNorm2d) as scale and shift:
///   scale = weight / sqrt(variance + eps),  shift = bias - mean * scale.      All [C] f32.
/// Differentiable in weight and bias; throws AutogradError if a gradient of the statistics is wanted.
[[nodiscard]] ScaleShift frozen_batch_norm_scale_shift(const Tensor& weight, const Tensor& bias, const Tensor& mean,
                                                       const Tensor& variance, float eps = 1e-5f);

}  // namespace visage::ops
