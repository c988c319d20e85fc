#pragma once
#include "models/resnet/resnet.h"

namespace visage {

/// ResNet inference with every frozen batch norm folded into its convolution (W' = W * scale, b' = shift; performance
/// identity I3) and ReLU and the residual sum in the convolution's epilogue.
class ResNetPlan {
 public:
  /// dtype of the activations: f32 or bf16.
  ResNetPlan(const ResNet& net, DType dtype);
  /// images [N, H, W, 3] f32; returns maps of the plan's dtype.
  BackboneFeatures operator()(const Tensor& images) const;

 private:
  struct FoldedConv {
    Tensor weight, bias;
    int stride, padding;
    Tensor operator()(const Tensor& x, Activation activation, const Tensor& residual = {}) const;
  };
  struct Block {
    std::vector<FoldedConv> convs, shortcut;
  };
  static FoldedConv fold(const NormedConv& conv);
  static Tensor run(const Block& block, const Tensor& x);

  DType dtype_;
  FoldedConv stem_;
  std::array<std::vector<Block>, 4> stages_;
};

}  // namespace visage
