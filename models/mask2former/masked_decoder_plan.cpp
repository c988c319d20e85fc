#include "models/mask2former/masked_decoder_plan.h"

#include "models/mask2former/plan_tools.h"
#include "ops/attention/mask_product.h"
#include "ops/attention/masked_attention.h"
#include "ops/elementwise/add_per_row.h"
#include "ops/elementwise/elementwise.h"
#include "ops/position/position.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"
#include "tensor/transfer.h"

namespace visage {
namespace {

// [N * T, h, w, C] as [N, pixels, C].
Tensor pixels_of(const Tensor& map, std::int64_t items) {
  return ops::reshape(map, {items, map.size(0) / items * map.size(1) * map.size(2), map.size(3)});
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
    layer.key = source.cross.weight(1);
    layer.key_y = plan::columns(source.cross.weight(1), 0, half);
    layer.key_x = plan::columns(source.cross.weight(1), half, half);
    key_values[level].push_back(source.cross.weight(1));
    key_values[level].push_back(source.cross.weight(2));
    const Tensor embed = ops::narrow(decoder.level_embed(), 0, level, 1);
    const Tensor value_constant = ops::linear(embed, source.cross.weight(2), source.cross.bias(2));
    layer.out_bias =
        ops::reshape(ops::linear(value_constant, source.cross.out.weight, source.cross.out.bias), {config.hidden});
    for (int part = 0; part < 3; ++part) layer.self_weight[part] = source.self.weight(part);
    for (int part = 0; part < 2; ++part)
      layer.self_bias[part] = ops::linear(decoder.query_embed(), layer.self_weight[part], source.self.bias(part));
    layer.self_bias[2] = source.self.bias(2);
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

// W_k (z[t] + y[i]) in row t * H + i.
Tensor MaskedDecoderPlan::row_table(const Layer& layer, const Tensor& code_y, std::int64_t frames) const {
  const Tensor rows = ops::linear(code_y, layer.key_y, {});
  if (source_.config().mode == Mode::online) return rows;
  const Tensor of_frames = ops::linear(ops::sine_axis(frames, rows.size(1), rows.device()), layer.key, {});
  std::vector<Tensor> table;
  for (std::int64_t t = 0; t < frames; ++t) table.push_back(ops::add(rows, ops::select(of_frames, t)));
  return ops::concatenate(table, 0);
}

const std::vector<MaskedDecoderPlan::Tables>& MaskedDecoderPlan::tables(std::span<const ops::LevelShape> shapes,
                                                                        std::int64_t frames) {
  auto& entry = tables_.of(shapes, frames);
  if (!entry.empty()) return entry;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const ops::LevelShape& shape = shapes[i % shapes.size()];
    const Layer& layer = layers_[i];
    const ops::PositionTables code =
        ops::sine_position_tables(shape.height, shape.width, layer.key_y.size(1), layer.key_y.device());
    entry.push_back({row_table(layer, code.y, frames), ops::linear(code.x, layer.key_x, {})});
  }
  return entry;
}

Tensor MaskedDecoderPlan::mask_logits(const MaskEmbedding& embedding, const Tensor& map) {
  const std::int64_t items = embedding.vectors.size(0);
  const Tensor logits = ops::matmul_nt(embedding.vectors, pixels_of(map, items));
  ops::add_per_row(logits, embedding.shift);
  return ops::reshape(logits, {items, logits.size(1), map.size(0) / items * map.size(1), map.size(2)});
}

ops::RowProgram MaskedDecoderPlan::program(const Queries& queries) const {
  return {queries.x.device(), queries.images, source_.config().num_queries};
}

ops::RowProgram::Rows MaskedDecoderPlan::start(ops::RowProgram& program, const Queries& queries) const {
  const auto x = program.load(queries.x);
  if (!queries.norm) return x;
  return program.add_layer_norm(x, program.load_sum(queries.parts), queries.norm->weight, queries.norm->bias);
}

MaskedDecoderPlan::MaskEmbedding MaskedDecoderPlan::embed_masks(ops::RowProgram& program,
                                                                ops::RowProgram::Rows normed) const {
  const std::vector<nn::Linear>& layers = source_.mask_embed().layers;
  program.branch();
  for (std::size_t i = 0; i + 1 < layers.size(); ++i)
    normed = program.linear(normed, layers[i].weight, layers[i].bias, {.relu = true});
  const Tensor vectors = program.store(program.linear(normed, mask_weight_, mask_bias_), dtype_);
  return {vectors, program.store(program.linear(normed, shift_weight_, shift_bias_))};
}

MaskedDecoderPlan::Head MaskedDecoderPlan::head(const Queries& queries, const Layer& layer, const Tables& tables,
                                                bool traced) const {
  Head head;
  auto rows = program(queries);
  const auto x = start(rows, queries), normed = rows.layer_norm(x, source_.norm().weight, source_.norm().bias);
  head.x = rows.store(x);
  if (traced) head.normed = rows.store(normed);
  head.masks = embed_masks(rows, normed);
  const std::int64_t heads = source_.config().heads;
  rows.branch();
  const auto q = rows.linear(x, layer.query_weight, layer.query_constant, {.dtype = dtype_});
  head.q = rows.store(q);
  head.score_y = rows.head_products(q, tables.y, heads);
  head.score_x = rows.head_products(q, tables.x, heads);
  rows.run();
  return head;
}

MaskedDecoderPlan::Queries MaskedDecoderPlan::attend(const Layer& layer, const Head& head, const Tensor& keys,
                                                     const Tensor& values, const Tensor& allowed,
                                                     const Tensor& sees_any) const {
  const std::int64_t heads = source_.config().heads;
  const MaskedDecoder::Layer& source = *layer.source;
  Queries queries{head.x, head.x.size(0)};

  const ops::AttentionParts from_pixels = ops::masked_attention_parts(
      head.q, keys, values,
      {.heads = heads, .allowed = allowed, .sees_any = sees_any, .score_y = head.score_y, .score_x = head.score_x});
  // The output projection, the residual norm and what `next` makes of the result.
  const auto after = [&](const ops::AttentionParts& attended, const Tensor& weight, const Tensor& bias,
                         const nn::LayerNorm& norm, const auto& next) {
    auto rows = program(queries);
    const auto projected = rows.linear(rows.load(attended), weight, bias, {.dtype = dtype_});
    const auto x = rows.add_layer_norm(rows.load(queries.x), projected, norm.weight, norm.bias);
    queries.x = rows.store(x);
    next(rows, x);
    rows.run();
  };
  std::array<Tensor, 3> qkv;
  after(from_pixels, source.cross.out.weight, layer.out_bias, source.cross_norm, [&](auto& rows, const auto& x) {
    for (int part = 0; part < 3; ++part) {
      rows.branch();
      qkv[part] = rows.store(rows.linear(x, layer.self_weight[part], layer.self_bias[part], {.dtype = dtype_}));
    }
  });
  const ops::AttentionParts from_queries = ops::masked_attention_parts(qkv[0], qkv[1], qkv[2], {.heads = heads});
  const nn::Linear& out = source.self.out;
  after(from_queries, out.weight, out.bias, source.self_norm, [&](auto& rows, const auto& x) {
    queries.parts = rows.feed_forward(x, source.linear1.weight, source.linear1.bias, source.linear2.weight,
                                      source.linear2.bias, dtype_);
  });
  queries.norm = &source.ffn_norm;
  return queries;
}

void MaskedDecoderPlan::trace_head(DecoderOutput& trace, const Head& head, const PlannedPixels& pixels,
                                   const Tensor& allowed) const {
  HeadOutput out{.query = head.x,
                 .class_logits = source_.class_embed()(head.normed),
                 .mask_embedding = source_.mask_embed()(head.normed),
                 .mask_logits = mask_logits(head.masks, pixels.merged)};
  if (allowed) {
    const ops::LevelShape& shape = pixels.shapes[trace.heads.size() % pixels.shapes.size()];
    const std::int64_t frames = pixels.tokens.size(0) / head.x.size(0);
    out.blocked = blocked_bytes(allowed, frames * shape.height * shape.width);
  }
  trace.heads.push_back(std::move(out));
}

PlannedQueries MaskedDecoderPlan::finish(const Queries& queries, const PlannedPixels& pixels,
                                         DecoderOutput* trace) const {
  Head head;
  PlannedQueries out;
  auto rows = program(queries);
  const auto x = start(rows, queries), normed = rows.layer_norm(x, source_.norm().weight, source_.norm().bias);
  if (trace) head.x = rows.store(x);
  out.embeddings = head.normed = rows.store(normed);
  head.masks = embed_masks(rows, normed);
  rows.branch();
  out.class_logits = rows.store(rows.linear(normed, source_.class_embed().weight, source_.class_embed().bias));
  rows.run();
  if (trace) {
    trace_head(*trace, head, pixels, {});
    trace->embeddings = out.embeddings;
  }
  out.mask_logits = mask_logits(head.masks, pixels.merged);
  if (source_.config().mode == Mode::offline) return out;
  std::vector<Tensor> cells;
  for (const Tensor& map : pixels.cells) cells.push_back(pixels_of(map, queries.images));
  out.foreground = ops::mask_product_bits(head.masks.vectors, head.masks.shift, cells, ops::MaskBit::foreground);
  return out;
}

PlannedQueries MaskedDecoderPlan::operator()(const PlannedPixels& pixels, DecoderOutput* trace, std::int64_t frames) {
  const Mask2FormerConfig& config = source_.config();
  const std::int64_t items = pixels.tokens.size(0) / frames;
  const std::vector<Tables>& all_tables = tables(pixels.shapes, frames);
  std::vector<Tensor> key_values;
  for (int level = 0; level < std::min(config.levels, config.decoder_layers); ++level) {
    const Tensor product =
        ops::linear(level_tokens(pixels.tokens, pixels.shapes, level), key_value_weight_[level], {}, {.dtype = dtype_});
    key_values.push_back(ops::reshape(product, {items, frames * product.size(1), product.size(2)}));
  }
  const Tensor sees_any = Tensor::zeros({std::max(config.decoder_layers, 1), items, config.num_queries}, DType::i32,
                                        pixels.tokens.device());

  Queries queries{source_.query_feat(), items};
  for (int i = 0; i < config.decoder_layers; ++i) {
    const int level = i % config.levels;
    const Head before = head(queries, layers_[i], all_tables[i], trace != nullptr);
    // Stride 32, 16, 8 of levels 0, 1, 2 are cells 2, 1, 0.
    const Tensor any = ops::select(sees_any, i);
    const Tensor allowed =
        ops::mask_product_bits(before.masks.vectors, before.masks.shift, pixels_of(pixels.cells[2 - level], items),
                               ops::MaskBit::visible, any);
    if (trace) trace_head(*trace, before, pixels, allowed);
    const std::int64_t column = i / config.levels * 2 * config.hidden;
    const Tensor keys = ops::narrow(key_values[level], 2, column, config.hidden);
    const Tensor values = ops::narrow(key_values[level], 2, column + config.hidden, config.hidden);
    queries = attend(layers_[i], before, keys, values, allowed, any);
  }
  return finish(queries, pixels, trace);
}

}  // namespace visage
