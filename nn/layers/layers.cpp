#include "nn/layers/layers.h"

#include "ops/norm/layer_norm.h"
#include "ops/shape/views.h"

namespace visage::nn {

Linear::Linear(const Scope& scope, std::int64_t in, std::int64_t out)
    : weight(scope.param("weight", {out, in}, Role::weight)), bias(scope.param("bias", {out}, Role::bias)) {}

Mlp::Mlp(const Scope& scope, const std::vector<std::int64_t>& sizes) {
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i)
    layers.emplace_back(scope / "layers" / static_cast<int>(i), sizes[i], sizes[i + 1]);
}

Tensor Mlp::operator()(Tensor x) const {
  for (std::size_t i = 0; i < layers.size(); ++i)
    x = layers[i](x, i + 1 < layers.size() ? Activation::relu : Activation::none);
  return x;
}

LayerNorm::LayerNorm(const Scope& scope, std::int64_t channels)
    : weight(scope.param("weight", {channels}, Role::norm)), bias(scope.param("bias", {channels}, Role::norm)) {}

Tensor LayerNorm::operator()(const Tensor& x) const { return ops::layer_norm(x, weight, bias); }
Tensor LayerNorm::operator()(const Tensor& x, const Tensor& residual) const {
  return ops::add_layer_norm(x, residual, weight, bias);
}

GroupNorm::GroupNorm(const Scope& scope, std::int64_t channels)
    : weight(scope.param("weight", {channels}, Role::norm)), bias(scope.param("bias", {channels}, Role::norm)) {}

FrozenBatchNorm::FrozenBatchNorm(const Scope& scope, std::int64_t channels)
    : weight(scope.buffer("weight", {channels})),
      bias(scope.buffer("bias", {channels})),
      running_mean(scope.buffer("running_mean", {channels})),
      running_var(scope.buffer("running_var", {channels})) {}

Conv2d::Conv2d(const Scope& scope, std::int64_t in, std::int64_t out, int kernel, int stride_, Bias with_bias)
    : weight(scope.conv_weight("weight", {out, kernel, kernel, in})), stride(stride_) {
  if (with_bias == Bias::present) bias = scope.param("bias", {out}, Role::bias);
}

AttentionProjections::AttentionProjections(const Scope& scope, std::int64_t channels)
    : in_weight(scope.param("in_proj_weight", {3 * channels, channels}, Role::weight)),
      in_bias(scope.param("in_proj_bias", {3 * channels}, Role::bias)),
      out(scope / "out_proj", channels, channels) {}

Tensor AttentionProjections::weight(int part) const {
  const std::int64_t channels = in_weight.size(1);
  return ops::narrow(in_weight, 0, part * channels, channels);
}

Tensor AttentionProjections::bias(int part) const {
  const std::int64_t channels = in_weight.size(1);
  return ops::narrow(in_bias, 0, part * channels, channels);
}

}  // namespace visage::nn
