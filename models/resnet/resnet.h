#pragma once
#include "autograd/checkpoint.h"
#include "models/resnet/config.h"
#include "nn/layers/layers.h"

#include <array>
#include <vector>

namespace visage {

/// Feature maps res2 .. res5 at strides 4, 8, 16, 32, each [N, H/stride, W/stride, C].
using BackboneFeatures = std::array<Tensor, 4>;

/// A convolution without bias and its frozen batch norm "norm".
struct NormedConv {
  nn::Conv2d conv;
  nn::FrozenBatchNorm norm;
  NormedConv() = default;
  NormedConv(const nn::Scope& scope, std::int64_t in, std::int64_t out, int kernel, int stride);
  /// act(norm(conv(x)) [+ residual])
  Tensor operator()(const Tensor& x, Activation activation, const Tensor& residual = {}) const;
  /// Sets the statistics of the norm to those of conv(x): mean 0 and variance 1 after it, in every channel.
  void calibrate(const Tensor& x) const;
};

/// Residual block: convolutions "conv1".. and, where the size changes, "shortcut". Two 3x3 convolutions (basic) or
/// 1x1, 3x3, 1x1 (bottleneck), the stride in the first 3x3 as in detectron2's R-50 models.
struct ResidualBlock {
  std::vector<NormedConv> convs;
  std::vector<NormedConv> shortcut;  // none or one
  Tensor operator()(const Tensor& x) const;
  void calibrate(const Tensor& x) const;
};

/// ResNet (He et al. 2016) with detectron2's names and frozen batch norms: stem 7x7/2 and max-pool 3x3/2, then stages
/// res2 to res5. throws UsageError for a depth other than 18, 34, 50, 101.
class ResNet {
 public:
  ResNet(const nn::Scope& scope, const ResNetConfig& config);

  /// images [N, H, W, 3], normalised; H and W multiples of 32. With Activations::recompute only the result of the stem
  /// and of every block is kept for the backward.
  BackboneFeatures operator()(const Tensor& images,
                              autograd::Activations activations = autograd::Activations::keep) const;

  /// Sets the statistics of the norms to those of these images, layer after layer, so that a backbone with random
  /// weights begins with activations of unit variance (Mishkin & Matas 2016, LSUV).
  void calibrate(const Tensor& images) const;

  /// Channels of res2 .. res5.
  const std::array<std::int64_t, 4>& channels() const { return channels_; }
  const NormedConv& stem() const { return stem_; }
  const std::array<std::vector<ResidualBlock>, 4>& stages() const { return stages_; }

 private:
  NormedConv stem_;
  std::array<std::vector<ResidualBlock>, 4> stages_;
  std::array<std::int64_t, 4> channels_{};
};

}  // namespace visage
