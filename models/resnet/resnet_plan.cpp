#include "models/resnet/resnet_plan.h"

#include "ops/conv/max_pool2d.h"
#include "ops/elementwise/elementwise.h"
#include "tensor/transfer.h"

namespace visage {

ResNetPlan::FoldedConv ResNetPlan::fold(const NormedConv& source) {
  const ops::ScaleShift map = source.norm.scale_shift();
  const Device device = source.conv.weight.device();
  const Tensor weight = to_device(source.conv.weight, {}), scale = to_device(map.scale, {});
  FoldedConv folded{Tensor::empty(weight.size(), DType::f32, device), map.shift, source.conv.stride,
                    source.conv.padding()};
  const std::int64_t per_output = weight.numel() / weight.size(0);
  write_from_host(folded.weight, [&](const Tensor& host) {
    for (std::int64_t i = 0; i < weight.numel(); ++i)
      host.data<float>()[i] = weight.data<float>()[i] * scale.data<float>()[i / per_output];
  });
  return folded;
}

Tensor ResNetPlan::FoldedConv::operator()(const Tensor& x, Activation activation, const Tensor& residual) const {
  return ops::conv2d(x, weight, bias,
                     {.stride = stride,
                      .padding = padding,
                      .activation = activation,
                      .accumulate_into = residual,
                      .dtype = x.dtype()});
}

ResNetPlan::ResNetPlan(const ResNet& net, DType dtype) : dtype_(dtype), stem_(fold(net.stem())) {
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (const ResidualBlock& source : net.stages()[stage]) {
      Block& block = stages_[stage].emplace_back();
      for (const NormedConv& conv : source.convs) block.convs.push_back(fold(conv));
      for (const NormedConv& conv : source.shortcut) block.shortcut.push_back(fold(conv));
    }
  }
}

Tensor ResNetPlan::run(const Block& block, const Tensor& x) {
  Tensor y = x;
  for (std::size_t i = 0; i + 1 < block.convs.size(); ++i) y = block.convs[i](y, Activation::relu);
  // The last convolution adds onto the residual in place. An identity shortcut overwrites x itself, which nothing reads
  // afterwards: a stage's output feeds the next stage, whose first block has a shortcut convolution.
  const Tensor residual = block.shortcut.empty() ? x : block.shortcut[0](x, Activation::none);
  return block.convs.back()(y, Activation::relu, residual);
}

BackboneFeatures ResNetPlan::operator()(const Tensor& images) const {
  Tensor x = stem_(ops::cast(images, dtype_), Activation::relu);
  x = ops::max_pool2d(x, {.kernel = 3, .stride = 2, .padding = 1});
  BackboneFeatures features;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (const Block& block : stages_[stage]) x = run(block, x);
    features[stage] = x;
  }
  return features;
}

}  // namespace visage
