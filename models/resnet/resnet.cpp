#include "models/resnet/resnet.h"

#include "ops/autocast.h"
#include "ops/conv/max_pool2d.h"
#include "tensor/transfer.h"

#include <algorithm>

namespace visage {
namespace {

constexpr ops::MaxPool2dOptions kStemPool{.kernel = 3, .stride = 2, .padding = 1};

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

void NormedConv::calibrate(const Tensor& x) const {
  const Tensor y = to_device(conv(x), {});
  const std::int64_t channels = y.size(-1);
  const auto pixels = static_cast<double>(y.numel() / channels);
  std::vector<double> sum(channels), squares(channels);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const double value = y.data<float>()[i];
    sum[i % channels] += value;
    squares[i % channels] += value * value;
  }
  write_from_host(norm.running_mean, [&](const Tensor& host) {
    for (std::int64_t c = 0; c < channels; ++c) host.data<float>()[c] = static_cast<float>(sum[c] / pixels);
  });
  write_from_host(norm.running_var, [&](const Tensor& host) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double mean = sum[c] / pixels;
      host.data<float>()[c] = static_cast<float>(std::max(squares[c] / pixels - mean * mean, 0.0));
    }
  });
}

void ResidualBlock::calibrate(const Tensor& x) const {
  Tensor y = x;
  for (const NormedConv& conv : convs) {
    conv.calibrate(y);
    y = conv(y, Activation::relu);
  }
  if (!shortcut.empty()) shortcut[0].calibrate(x);
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
  const auto stem = [this](const Tensor& in) { return ops::max_pool2d(stem_(in, Activation::relu), kStemPool); };
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

void ResNet::calibrate(const Tensor& images) const {
  const autograd::NoGrad constant;
  stem_.calibrate(images);
  Tensor x = ops::max_pool2d(stem_(images, Activation::relu), kStemPool);
  for (const auto& stage : stages_)
    for (const ResidualBlock& block : stage) {
      block.calibrate(x);
      x = block(x);
    }
}

}  // namespace visage
