#pragma once
// Small modules: parameters under their official names, and the plain forward. A copy of a module shares its
// parameters.
#include "nn/param_store.h"
#include "ops/conv/conv2d.h"
#include "ops/linear/linear.h"
#include "ops/norm/group_norm.h"

#include <vector>

namespace visage::nn {

inline constexpr int kNormGroups = 32;

/// "weight" [out, in] and "bias" [out].
struct Linear {
  Tensor weight, bias;
  Linear() = default;
  Linear(const Scope& scope, std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x, Activation activation = Activation::none) const {
    return ops::linear(x, weight, bias, {.activation = activation});
  }
};

/// Linear layers "layers.0", "layers.1", ... with ReLU between them. `sizes`: in, hidden ..., out.
struct Mlp {
  std::vector<Linear> layers;
  Mlp() = default;
  Mlp(const Scope& scope, const std::vector<std::int64_t>& sizes);
  Tensor operator()(Tensor x) const;
};

/// "weight" [C] and "bias" [C] of a layer norm (eps 1e-5).
struct LayerNorm {
  Tensor weight, bias;
  LayerNorm() = default;
  LayerNorm(const Scope& scope, std::int64_t channels);
  Tensor operator()(const Tensor& x) const;
  /// norm(x + residual)
  Tensor operator()(const Tensor& x, const Tensor& residual) const;
};

/// "weight" [C] and "bias" [C] of a group norm with 32 groups (eps 1e-5).
struct GroupNorm {
  Tensor weight, bias;
  GroupNorm() = default;
  GroupNorm(const Scope& scope, std::int64_t channels);
  Tensor operator()(const Tensor& x, Activation activation = Activation::none, const Tensor& out = {}) const {
    return ops::group_norm(x, weight, bias, {.groups = kNormGroups, .activation = activation, .out = out});
  }
};

/// Batch norm with constant statistics; its four [C] tensors are buffers.
struct FrozenBatchNorm {
  Tensor weight, bias, running_mean, running_var;
  FrozenBatchNorm() = default;
  FrozenBatchNorm(const Scope& scope, std::int64_t channels);
  ops::ScaleShift scale_shift() const {
    return ops::frozen_batch_norm_scale_shift(weight, bias, running_mean, running_var);
  }
};

/// Convolution "weight" [O, k, k, I] with "bias" [O] or without, same-size padding.
enum class Bias { none, present };
struct Conv2d {
  Tensor weight, bias;
  int stride = 1;
  Conv2d() = default;
  Conv2d(const Scope& scope, std::int64_t in, std::int64_t out, int kernel, int stride, Bias bias);
  int padding() const { return static_cast<int>(weight.size(1)) / 2; }
  /// `dtype`: of the result.
  Tensor operator()(const Tensor& x, DType dtype = DType::f32) const {
    return ops::conv2d(x, weight, bias, {.stride = stride, .padding = padding(), .dtype = dtype});
  }
};

/// Multi-head attention parameters as torch names them: in_proj_weight [3C, C] (q, k, v), in_proj_bias, out_proj.
struct AttentionProjections {
  Tensor in_weight, in_bias;
  Linear out;
  AttentionProjections() = default;
  AttentionProjections(const Scope& scope, std::int64_t channels);
  /// Rows of one of the three input projections: 0 q, 1 k, 2 v.
  Tensor weight(int part) const;
  Tensor bias(int part) const;
};

}  // namespace visage::nn
