#include "models/mask2former/masked_decoder_plan.h"

#include "models/mask2former/plan_tools.h"
#include "ops/attention/attention_mask.h"
#include "ops/attention/masked_attention.h"
#include "ops/elementwise/add_per_row.h"
#include "ops/elementwise/elementwise.h"
#include "ops/position/position.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tensor/transfer.h"

namespace visage {
namespace {

// q [N, Q, C] against a table [n, C], head by head: [N, heads, Q, n].
Tensor head_products(const Tensor& q, const Tensor& table, std::int64_t heads) {
  const std::int64_t batch = q.size(0), queries = q.size(1), channels = q.size(2), width = channels / heads;
  const Tensor by_head = Tensor::alias(table, {heads, table.size(0), width}, {width, channels, 1});
  std::vector<Tensor> products;
  for (std::int64_t n = 0; n < batch; ++n) {
    const Tensor q_heads = Tensor::alias(q, {heads, queries, width}, {width, channels, 1}, n * queries * channels);
    products.push_back(ops::matmul_nt(q_heads, by_head));
  }
  const Tensor all = batch == 1 ? products[0] : ops::concatenate(products, 0);
  return ops::reshape(all, {batch, heads, queries, table.size(0)});
}

// Bits of visible keys [N, Q, words] as the bytes of blocked ones [N, Q, length], on the host. For traces.
Tensor blocked_bytes(const Tensor& bits, std::int64_t length) {
  const Tensor allowed = to_device(bits, {});
  Tensor bytes = Tensor::empty({allowed.size(0), allowed.size(1), length}, DType::u8);
  const std::int64_t rows = allowed.size(0) * allowed.size(1), words = allowed.size(2);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < length; ++i) {
      const auto word = static_cast<std::uint64_t>(allowed.data<std::int64_t>()[r * words + i / 64]);
      bytes.data<std::uint8_t>()[r * length + i] = static_cast<std::uint8_t>(~(word >> (i % 64)) & 1u);
    }
  return bytes;
}

}  // namespace

MaskedDecoderPlan::MaskedDecoderPlan(const MaskedDecoder& decoder, const nn::Conv2d& mask_features, DType dtype)
    : source_(decoder), dtype_(dtype) {
  const Mask2FormerConfig& config = decoder.config();
  const std::int64_t half = config.hidden / 2;
  std::vector<std::vector<Tensor>> key_values(config.levels);
  for (int i = 0; i < config.decoder_layers; ++i) {
    const MaskedDecoder::Layer& source = decoder.layers()[i];
    const int level = i % config.levels;
    Layer& layer = layers_.emplace_back();
    layer.source = &source;
    layer.query_weight = source.cross.weight(0);
    layer.query_constant = ops::linear(decoder.query_embed(), layer.query_weight, source.cross.bias(0));
    layer.key_y = plan::columns(source.cross.weight(1), 0, half);
    layer.key_x = plan::columns(source.cross.weight(1), half, half);
    key_values[level].push_back(source.cross.weight(1));
    key_values[level].push_back(source.cross.weight(2));
    const Tensor embed = ops::narrow(decoder.level_embed(), 0, level, 1);
    const Tensor value_constant = ops::linear(embed, source.cross.weight(2), source.cross.bias(2));
    layer.out_bias =
        ops::reshape(ops::linear(value_constant, source.cross.out.weight, source.cross.out.bias), {config.hidden});
    layer.pair_weight = ops::narrow(source.self.in_weight, 0, 0, 2 * config.hidden);
    layer.pair_constant = ops::linear(decoder.query_embed(), layer.pair_weight,
                                      ops::narrow(source.self.in_bias, 0, 0, 2 * config.hidden));
    layer.value_weight = source.self.weight(2);
    layer.value_bias = source.self.bias(2);
  }
  for (const auto& parts : key_values)
    key_value_weight_.push_back(parts.empty() ? Tensor() : ops::concatenate(parts, 0));

  // E (W y + b) = (W^T E) y + E b for the 1x1 convolution (W, b) and E = V h + c, the last layer of the mask MLP.
  const nn::Linear& last = decoder.mask_embed().layers.back();
  const Tensor conv = ops::reshape(mask_features.weight, {config.hidden, config.hidden});
  const Tensor conv_bias = ops::reshape(mask_features.bias, {1, config.hidden});
  const Tensor bias_row = ops::reshape(last.bias, {1, config.hidden});
  mask_weight_ = plan::product(ops::permute(conv, {1, 0}), last.weight);
  mask_bias_ = ops::reshape(plan::product(bias_row, conv), {config.hidden});
  shift_weight_ = plan::product(conv_bias, last.weight);
  shift_bias_ = ops::reshape(plan::product(bias_row, ops::permute(conv_bias, {1, 0})), {1});
}

Tensor MaskedDecoderPlan::dense(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                Activation activation) const {
  return ops::linear(ops::cast(x, dtype_), weight, bias, {.activation = activation});
}

Tensor MaskedDecoderPlan::plus_constant(const Tensor& x, const Tensor& weight, const Tensor& constant) const {
  return ops::linear(ops::cast(x, dtype_), weight, {}, {.accumulate_into = ops::repeat_batch(constant, x.size(0))});
}

const std::vector<MaskedDecoderPlan::Tables>& MaskedDecoderPlan::tables(std::span<const ops::LevelShape> shapes) {
  auto& entry = tables_.of(shapes);
  if (!entry.empty()) return entry;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const ops::LevelShape& shape = shapes[i % shapes.size()];
    const Layer& layer = layers_[i];
    const ops::PositionTables code =
        ops::sine_position_tables(shape.height, shape.width, layer.key_y.size(1), layer.key_y.device());
    entry.push_back({ops::linear(code.y, layer.key_y, {}), ops::linear(code.x, layer.key_x, {})});
  }
  return entry;
}

Tensor MaskedDecoderPlan::cross_attention(const Layer& layer, const Tables& tables, const Tensor& x, const Tensor& keys,
                                          const Tensor& values, const Tensor& allowed) const {
  const Tensor q = plus_constant(x, layer.query_weight, layer.query_constant);
  const std::int64_t heads = source_.config().heads;
  const Tensor attended = ops::masked_attention(q, keys, values,
                                                {.heads = heads,
                                                 .allowed = allowed,
                                                 .score_y = head_products(q, tables.y, heads),
                                                 .score_x = head_products(q, tables.x, heads)});
  return layer.source->cross_norm(x, dense(attended, layer.source->cross.out.weight, layer.out_bias));
}

Tensor MaskedDecoderPlan::self_attention(const Layer& layer, const Tensor& x) const {
  const std::int64_t channels = x.size(2);
  const Tensor pair = plus_constant(x, layer.pair_weight, layer.pair_constant);
  const Tensor value = dense(x, layer.value_weight, layer.value_bias);
  const Tensor attended =
      ops::masked_attention(ops::narrow(pair, 2, 0, channels), ops::narrow(pair, 2, channels, channels), value,
                            {.heads = source_.config().heads});
  const nn::Linear& out = layer.source->self.out;
  return layer.source->self_norm(x, dense(attended, out.weight, out.bias));
}

Tensor MaskedDecoderPlan::feed_forward(const Layer& layer, const Tensor& x) const {
  const MaskedDecoder::Layer& s = *layer.source;
  const Tensor hidden = ops::linear(ops::cast(x, dtype_), s.linear1.weight, s.linear1.bias,
                                    {.activation = Activation::relu, .dtype = dtype_});
  return s.ffn_norm(x, dense(hidden, s.linear2.weight, s.linear2.bias));
}

MaskedDecoderPlan::MaskEmbedding MaskedDecoderPlan::embed_masks(const Tensor& normed) const {
  const std::vector<nn::Linear>& layers = source_.mask_embed().layers;
  Tensor hidden = normed;
  for (std::size_t i = 0; i + 1 < layers.size(); ++i)
    hidden = ops::linear(hidden, layers[i].weight, layers[i].bias, {.activation = Activation::relu});
  return {ops::cast(ops::linear(hidden, mask_weight_, mask_bias_), dtype_),
          ops::linear(hidden, shift_weight_, shift_bias_)};
}

Tensor MaskedDecoderPlan::mask_logits(const MaskEmbedding& embedding, const Tensor& features) {
  const Tensor pixels =
      ops::reshape(features, {features.size(0), features.size(1) * features.size(2), features.size(3)});
  const Tensor logits = ops::matmul_nt(embedding.vectors, pixels);
  ops::add_per_row(logits, embedding.shift);
  return logits;
}

void MaskedDecoderPlan::trace_head(DecoderOutput& trace, const Tensor& x, const Tensor& normed,
                                   const PlannedPixels& pixels, const Tensor& allowed) const {
  const Tensor& map = pixels.merged;
  const Tensor logits = mask_logits(embed_masks(normed), map);
  HeadOutput head{.query = x,
                  .class_logits = source_.class_embed()(normed),
                  .mask_embedding = source_.mask_embed()(normed),
                  .mask_logits = ops::reshape(logits, {map.size(0), x.size(1), map.size(1), map.size(2)})};
  if (allowed) {
    const ops::LevelShape& shape = pixels.shapes[trace.heads.size() % pixels.shapes.size()];
    head.blocked = blocked_bytes(allowed, shape.height * shape.width);
  }
  trace.heads.push_back(std::move(head));
}

PlannedQueries MaskedDecoderPlan::operator()(const PlannedPixels& pixels, DecoderOutput* trace) {
  const Mask2FormerConfig& config = source_.config();
  const std::vector<Tables>& all_tables = tables(pixels.shapes);
  std::vector<Tensor> key_values;
  for (int level = 0; level < std::min(config.levels, config.decoder_layers); ++level)
    key_values.push_back(ops::linear(level_tokens(pixels.tokens, pixels.shapes, level), key_value_weight_[level], {},
                                     {.dtype = dtype_}));

  Tensor x = ops::repeat_batch(source_.query_feat(), pixels.tokens.size(0));
  for (int i = 0; i < config.decoder_layers; ++i) {
    const int level = i % config.levels;
    const Tensor normed = source_.norm()(x);
    // Stride 32, 16, 8 of levels 0, 1, 2 are cells 2, 1, 0.
    const Tensor allowed =
        ops::mask_bits(mask_logits(embed_masks(normed), pixels.cells[2 - level]), ops::MaskBit::visible);
    if (trace) trace_head(*trace, x, normed, pixels, allowed);
    const std::int64_t column = i / config.levels * 2 * config.hidden;
    const Tensor keys = ops::narrow(key_values[level], 2, column, config.hidden);
    const Tensor values = ops::narrow(key_values[level], 2, column + config.hidden, config.hidden);
    x = cross_attention(layers_[i], all_tables[i], x, keys, values, allowed);
    x = self_attention(layers_[i], x);
    x = feed_forward(layers_[i], x);
  }

  PlannedQueries out;
  out.embeddings = source_.norm()(x);
  if (trace) trace_head(*trace, x, out.embeddings, pixels, {});
  out.class_logits = source_.class_embed()(out.embeddings);
  const MaskEmbedding embedding = embed_masks(out.embeddings);
  const Tensor& map = pixels.merged;
  out.mask_logits = ops::reshape(mask_logits(embedding, map), {map.size(0), x.size(1), map.size(1), map.size(2)});
  for (const Tensor& cells : pixels.cells)
    out.foreground.push_back(ops::mask_bits(mask_logits(embedding, cells), ops::MaskBit::foreground));
  if (trace) trace->embeddings = out.embeddings;
  return out;
}

}  // namespace visage
