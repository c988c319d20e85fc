#include "models/resnet/resnet.h"

#include "ops/autocast.h"
#include "ops/conv/max_pool2d.h"

namespace visage {
namespace {

struct Depth {
  std::array<int, 4> blocks;
  bool bottleneck;
};

Depth layout_of(int depth) {
  switch (depth) {
    case 18: return {{2, 2, 2, 2}, false};
    case 34: return {{3, 4, 6, 3}, false};
    case 50: return {{3, 4, 6, 3}, true};
    case 101: return {{3, 4, 23, 3}, true};
    default: fail<UsageError>("backbone.depth must be 18, 34, 50 or 101; got ", depth);
  }
}

ResidualBlock make_block(const nn::Scope& scope, std::int64_t in, std::int64_t middle, std::int64_t out, int stride,
                         bool bottleneck) {
  ResidualBlock block;
  if (in != out || stride != 1) block.shortcut.emplace_back(scope / "shortcut", in, out, 1, stride);
  if (bottleneck) {
    block.convs.emplace_back(scope / "conv1", in, middle, 1, 1);
    block.convs.emplace_back(scope / "conv2", middle, middle, 3, stride);
    block.convs.emplace_back(scope / "conv3", middle, out, 1, 1);
  } else {
    block.convs.emplace_back(scope / "conv1", in, out, 3, stride);
    block.convs.emplace_back(scope / "conv2", out, out, 3, 1);
  }
  return block;
}

}  // namespace

NormedConv::NormedConv(const nn::Scope& scope, std::int64_t in, std::int64_t out, int kernel, int stride)
    : conv(scope, in, out, kernel, stride, nn::Bias::none), norm(scope / "norm", out) {}

Tensor NormedConv::operator()(const Tensor& x, Activation activation, const Tensor& residual) const {
  const ops::ScaleShift map = norm.scale_shift();
  // The maps between convolutions are the bulk of the activations: they are kept in the type of the products.
  const Tensor y = conv(x, ops::autocast_dtype());
  return ops::channel_affine(y, map.scale, map.shift, {.activation = activation, .out = {}, .residual = residual});
}

Tensor ResidualBlock::operator()(const Tensor& x) const {
  Tensor y = x;
  for (std::size_t i = 0; i + 1 < convs.size(); ++i) y = convs[i](y, Activation::relu);
  return convs.back()(y, Activation::relu, shortcut.empty() ? x : shortcut[0](x, Activation::none));
}

ResNet::ResNet(const nn::Scope& scope, const ResNetConfig& config) {
  const Depth layout = layout_of(config.depth);
  check<UsageError>(config.width > 0, "backbone.width must be positive; got ", config.width);
  stem_ = NormedConv(scope / "stem" / "conv1", 3, config.width, 7, 2);
  std::int64_t in = config.width;
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t middle = static_cast<std::int64_t>(config.width) << stage;
    const std::int64_t out = layout.bottleneck ? 4 * middle : middle;
    const nn::Scope name = scope / ("res" + std::to_string(stage + 2));
    for (int i = 0; i < layout.blocks[stage]; ++i) {
      const int stride = stage > 0 && i == 0 ? 2 : 1;
      stages_[stage].push_back(make_block(name / i, in, middle, out, stride, layout.bottleneck));
      in = out;
    }
    channels_[stage] = out;
  }
}

BackboneFeatures ResNet::operator()(const Tensor& images, autograd::Activations activations) const {
  check<ShapeError>(images.rank() == 4 && images.size(3) == 3 && images.size(1) % 32 == 0 && images.size(2) % 32 == 0,
                    "ResNet: images must be [N,H,W,3] with H and W multiples of 32; got ", images.size());
  const auto stem = [this](const Tensor& in) {
    return ops::max_pool2d(stem_(in, Activation::relu), {.kernel = 3, .stride = 2, .padding = 1});
  };
  Tensor x = autograd::apply(activations, stem, images);
  BackboneFeatures features;
  for (int stage = 0; stage < 4; ++stage) {
    for (const ResidualBlock& block : stages_[stage])
      x = autograd::apply(
          activations, [&block](const Tensor& in) { return block(in); }, x);
    features[stage] = x;
  }
  return features;
}

}  // namespace visage
