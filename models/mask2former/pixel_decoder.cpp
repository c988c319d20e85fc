#include "models/mask2former/pixel_decoder.h"

#include "ops/autocast.h"
#include "ops/deform_attention/sampling_locations.h"
#include "ops/elementwise/elementwise.h"
#include "ops/position/position.h"
#include "ops/resize/resize.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"

namespace visage {

Tensor level_tokens(const Tensor& tokens, std::span<const ops::LevelShape> shapes, std::size_t level) {
  std::int64_t start = 0;
  for (std::size_t l = 0; l < level; ++l) start += shapes[l].height * shapes[l].width;
  return ops::narrow(tokens, 1, start, shapes[level].height * shapes[level].width);
}

Tensor level_image(const Tensor& tokens, std::span<const ops::LevelShape> shapes, std::size_t level) {
  const Tensor window = level_tokens(tokens, shapes, level);
  const Dims size{tokens.size(0), shapes[level].height, shapes[level].width, tokens.size(2)};
  return ops::reshape(window.is_contiguous() ? window : ops::permute(window, {0, 1, 2}), size);
}

DeformableEncoderLayer::DeformableEncoderLayer(const nn::Scope& scope, const Mask2FormerConfig& c)
    : sampling_offsets(scope / "self_attn" / "sampling_offsets", c.hidden, c.heads * c.levels * c.points * 2),
      attention_weights(scope / "self_attn" / "attention_weights", c.hidden, c.heads * c.levels * c.points),
      value_proj(scope / "self_attn" / "value_proj", c.hidden, c.hidden),
      output_proj(scope / "self_attn" / "output_proj", c.hidden, c.hidden),
      norm1(scope / "norm1", c.hidden),
      norm2(scope / "norm2", c.hidden),
      linear1(scope / "linear1", c.hidden, c.encoder_ffn),
      linear2(scope / "linear2", c.encoder_ffn, c.hidden),
      heads(c.heads),
      points(c.points) {}

Tensor DeformableEncoderLayer::offsets(const Tensor& query) const {
  const ops::Autocast exact(DType::f32);
  return sampling_offsets(query);
}

Tensor DeformableEncoderLayer::operator()(const Tensor& tokens, const Tensor& position,
                                          std::span<const ops::LevelShape> shapes) const {
  const std::int64_t batch = tokens.size(0), length = tokens.size(1), channels = tokens.size(2);
  const auto levels = static_cast<std::int64_t>(shapes.size());
  const Tensor query = ops::add(tokens, position);
  const Tensor value = ops::reshape(value_proj(tokens), {batch, length, heads, channels / heads});
  const Tensor logits = ops::reshape(attention_weights(query), {batch, length, heads, levels * points});
  const Tensor weights = ops::reshape(ops::softmax(logits), {batch, length, heads, levels, points});
  const Tensor locations = ops::sampling_locations(offsets(query), shapes, heads, points);
  const Tensor sampled = ops::deform_attention(value, shapes, locations, weights);
  const Tensor x = norm1(tokens, output_proj(sampled));
  return norm2(x, linear2(linear1(x, Activation::relu)));
}

GroupNormedConv::GroupNormedConv(const nn::Scope& scope, std::int64_t in, std::int64_t out, int kernel)
    : conv(scope, in, out, kernel, 1, nn::Bias::none), norm(scope / "norm", out) {}

PixelDecoder::PixelDecoder(const nn::Scope& scope, const Mask2FormerConfig& config,
                           const std::array<std::int64_t, 4>& channels)
    : config_(config) {
  const std::int64_t hidden = config.hidden;
  for (int level = 0; level < config.levels; ++level) {
    const nn::Scope name = scope / "input_proj" / level;
    input_projections_.push_back(
        {nn::Conv2d(name / 0, channels[3 - level], hidden, 1, 1, nn::Bias::present), nn::GroupNorm(name / 1, hidden)});
  }
  level_embed_ = (scope / "transformer").param("level_embed", {config.levels, hidden}, nn::Role::weight);
  for (int i = 0; i < config.encoder_layers; ++i)
    layers_.emplace_back(scope / "transformer" / "encoder" / "layers" / i, config);
  mask_features_ = nn::Conv2d(scope / "mask_features", hidden, hidden, 1, 1, nn::Bias::present);
  for (int i = 0; i < 4 - config.levels; ++i) {
    const std::string number = std::to_string(i + 1);
    adapters_.emplace_back(scope / ("adapter_" + number), channels[i], hidden, 1);
    outputs_.emplace_back(scope / ("layer_" + number), hidden, hidden, 3);
  }
}

Tensor PixelDecoder::project(const BackboneFeatures& features, std::vector<ops::LevelShape>& shapes) const {
  std::vector<Tensor> levels;
  for (int level = 0; level < config_.levels; ++level) {
    const Tensor& map = features[3 - level];
    shapes.push_back({map.size(1), map.size(2)});
    const InputProjection& projection = input_projections_[level];
    levels.push_back(ops::reshape(projection.norm(projection.conv(map)), {map.size(0), -1, config_.hidden}));
  }
  return ops::concatenate(levels, 1);
}

Tensor PixelDecoder::positions(std::span<const ops::LevelShape> shapes) const {
  std::vector<Tensor> levels;
  for (std::size_t level = 0; level < shapes.size(); ++level) {
    const Tensor code =
        ops::sine_position(shapes[level].height, shapes[level].width, config_.hidden / 2, level_embed_.device());
    const Tensor embed = ops::narrow(level_embed_, 0, static_cast<std::int64_t>(level), 1);
    levels.push_back(ops::add(code, ops::reshape(embed, {config_.hidden})));
  }
  return ops::concatenate(levels, 0);
}

PixelFeatures PixelDecoder::operator()(const BackboneFeatures& features, autograd::Activations encoder) const {
  PixelFeatures result;
  result.tokens = project(features, result.shapes);
  const Tensor position = positions(result.shapes);
  result.layer_tokens.push_back(result.tokens);
  for (const DeformableEncoderLayer& layer : layers_) {
    result.tokens = autograd::apply(
        encoder,
        [&layer, position, shapes = result.shapes](const Tensor& tokens) { return layer(tokens, position, shapes); },
        result.tokens);
    result.layer_tokens.push_back(result.tokens);
  }
  Tensor top = level_image(result.tokens, result.shapes, result.shapes.size() - 1);
  for (std::size_t i = adapters_.size(); i-- > 0;) {
    result.lateral = adapters_[i](features[i], Activation::none);
    const Tensor up = ops::resize_bilinear(top, result.lateral.size(1), result.lateral.size(2));
    top = outputs_[i](ops::add(result.lateral, up), Activation::relu);
  }
  result.merged = top;
  result.mask_features = mask_features_(top);
  return result;
}

}  // namespace visage
