#include "models/mask2former/masked_decoder.h"

#include "ops/attention/attention_mask.h"
#include "ops/attention/masked_attention.h"
#include "ops/elementwise/elementwise.h"
#include "ops/position/position.h"
#include "ops/resize/resize.h"
#include "ops/shape/views.h"

namespace visage {
namespace {

Tensor attend(const nn::AttentionProjections& p, const Tensor& query, const Tensor& key, const Tensor& value,
              const ops::AttentionOptions& options) {
  const Tensor q = ops::linear(query, p.weight(0), p.bias(0));
  const Tensor k = ops::linear(key, p.weight(1), p.bias(1));
  const Tensor v = ops::linear(value, p.weight(2), p.bias(2));
  return p.out(ops::masked_attention(q, k, v, options));
}

}  // namespace

Tensor mask_logits(const Tensor& embedding, const Tensor& mask_features) {
  const Dims& map = mask_features.size();
  const std::int64_t items = embedding.size(0);
  const Tensor pixels = ops::reshape(mask_features, {items, map[0] / items * map[1] * map[2], map[3]});
  return ops::reshape(ops::matmul_nt(embedding, pixels), {items, embedding.size(1), map[0] / items * map[1], map[2]});
}

MaskedDecoder::MaskedDecoder(const nn::Scope& scope, const Mask2FormerConfig& config) : config_(config) {
  const std::int64_t hidden = config.hidden;
  layers_.resize(config.decoder_layers);
  for (int i = 0; i < config.decoder_layers; ++i) {
    const nn::Scope name = scope / "transformer_self_attention_layers" / i;
    layers_[i].self = nn::AttentionProjections(name / "self_attn", hidden);
    layers_[i].self_norm = nn::LayerNorm(name / "norm", hidden);
  }
  for (int i = 0; i < config.decoder_layers; ++i) {
    const nn::Scope name = scope / "transformer_cross_attention_layers" / i;
    layers_[i].cross = nn::AttentionProjections(name / "multihead_attn", hidden);
    layers_[i].cross_norm = nn::LayerNorm(name / "norm", hidden);
  }
  for (int i = 0; i < config.decoder_layers; ++i) {
    const nn::Scope name = scope / "transformer_ffn_layers" / i;
    layers_[i].linear1 = nn::Linear(name / "linear1", hidden, config.decoder_ffn);
    layers_[i].linear2 = nn::Linear(name / "linear2", config.decoder_ffn, hidden);
    layers_[i].ffn_norm = nn::LayerNorm(name / "norm", hidden);
  }
  norm_ = nn::LayerNorm(scope / "decoder_norm", hidden);
  query_feat_ = (scope / "query_feat").param("weight", {config.num_queries, hidden}, nn::Role::embedding);
  query_embed_ = (scope / "query_embed").param("weight", {config.num_queries, hidden}, nn::Role::embedding);
  level_embed_ = (scope / "level_embed").param("weight", {config.levels, hidden}, nn::Role::embedding);
  class_embed_ = nn::Linear(scope / "class_embed", hidden, config.num_classes + 1);
  mask_embed_ = nn::Mlp(scope / "mask_embed", {hidden, hidden, hidden, hidden});
}

Tensor MaskedDecoder::position(const ops::LevelShape& shape, std::int64_t frames, Device device) const {
  const std::int64_t half = config_.hidden / 2;
  return config_.mode == Mode::online ? ops::sine_position(shape.height, shape.width, half, device)
                                      : ops::sine_position_3d(frames, shape.height, shape.width, half, device);
}

HeadOutput MaskedDecoder::predict(const Tensor& query, const PixelFeatures& features,
                                  std::span<const Tensor> level_features, int head) const {
  const Tensor normed = norm_(query);
  HeadOutput out{.query = query, .class_logits = class_embed_(normed), .mask_embedding = mask_embed_(normed)};
  if (level_features.empty()) out.mask_logits = mask_logits(out.mask_embedding, features.mask_features);
  if (head == config_.decoder_layers) return out;
  const int level = head % config_.levels;
  const ops::LevelShape& shape = features.shapes[level];
  const autograd::NoGrad constant;  // the attention mask is a decision, not a function with a gradient
  const Tensor logits =
      level_features.empty() ? out.mask_logits : mask_logits(out.mask_embedding, level_features[level]);
  const std::int64_t items = query.size(0), queries = query.size(1), frames = features.mask_features.size(0) / items;
  const Tensor planes = ops::reshape(logits, {items, queries * frames, logits.size(2) / frames, logits.size(3)});
  out.blocked = ops::reshape(ops::attention_mask(planes, shape.height, shape.width),
                             {items, queries, frames * shape.height * shape.width});
  return out;
}

DecoderOutput MaskedDecoder::operator()(const PixelFeatures& features, MaskDetail detail, std::int64_t frames) const {
  const std::int64_t images = features.tokens.size(0);
  check<ShapeError>(frames >= 1 && images % frames == 0 && (config_.mode == Mode::offline || frames == 1),
                    "MaskedDecoder: ", images, " images are no clips of ", frames,
                    " frames; a decoder of single frames takes clips of 1");
  std::vector<Tensor> level_features;
  if (detail == MaskDetail::embeddings) {
    const autograd::NoGrad constant;
    for (const ops::LevelShape& shape : features.shapes)
      level_features.push_back(ops::resize_bilinear(features.mask_features, shape.height, shape.width));
  }
  const std::int64_t items = images / frames;
  std::vector<Tensor> keys, values;
  for (int level = 0; level < config_.levels; ++level) {
    const Tensor embed = ops::reshape(ops::narrow(level_embed_, 0, level, 1), {config_.hidden});
    const ops::LevelShape& shape = features.shapes[level];
    const Tensor window = level_tokens(features.tokens, features.shapes, level);
    const Tensor tokens =
        ops::reshape(ops::permute(window, {0, 1, 2}), {items, frames * shape.height * shape.width, config_.hidden});
    values.push_back(ops::add(tokens, embed));
    keys.push_back(ops::add(values.back(), position(shape, frames, tokens.device())));
  }

  Tensor x = ops::repeat_batch(query_feat_, items);
  DecoderOutput result;
  result.heads.push_back(predict(x, features, level_features, 0));
  for (int i = 0; i < config_.decoder_layers; ++i) {
    const Layer& layer = layers_[i];
    const int level = i % config_.levels;
    ops::AttentionOptions masked{.heads = config_.heads};
    masked.blocked = result.heads.back().blocked;
    x = layer.cross_norm(x, attend(layer.cross, ops::add(x, query_embed_), keys[level], values[level], masked));
    const Tensor q = ops::add(x, query_embed_);
    x = layer.self_norm(x, attend(layer.self, q, q, x, {.heads = config_.heads}));
    x = layer.ffn_norm(x, layer.linear2(layer.linear1(x, Activation::relu)));
    result.heads.push_back(predict(x, features, level_features, i + 1));
  }
  result.embeddings = norm_(x);
  return result;
}

}  // namespace visage
