#include "models/mask2former/pixel_decoder_plan.h"

#include "models/mask2former/plan_tools.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/layer_norm.h"
#include "ops/position/position.h"
#include "ops/resize/resize.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/views.h"

namespace visage {
namespace {

Tensor matrix_of(const nn::Conv2d& conv) {
  return ops::reshape(conv.weight, {conv.weight.size(0), conv.weight.size(3)});
}

// The tokens of one level as an image, without a copy.
Tensor level_view(const Tensor& tokens, std::span<const ops::LevelShape> shapes, std::size_t level) {
  const Tensor t = level_tokens(tokens, shapes, level);
  const std::int64_t pitch = t.stride()[1], width = shapes[level].width;
  return Tensor::alias(t, {t.size(0), shapes[level].height, width, t.size(2)},
                       {t.stride()[0], width * pitch, pitch, 1});
}

Tensor row(const Tensor& matrix, std::int64_t index) { return ops::narrow(matrix, 0, index, 1); }

}  // namespace

PixelDecoderPlan::PixelDecoderPlan(const PixelDecoder& decoder, std::vector<SideProjection> side, DType dtype)
    : source_(decoder), side_(std::move(side)), dtype_(dtype) {
  const Mask2FormerConfig& config = decoder.config();
  for (int stage = 0; stage < 4; ++stage) {
    std::vector<Tensor> weights, biases, scales, shifts;
    const auto add = [&](const nn::Conv2d& conv, const nn::GroupNorm& norm) {
      weights.push_back(matrix_of(conv));
      biases.push_back(conv.bias);
      scales.push_back(norm.weight);
      shifts.push_back(norm.bias);
    };
    if (3 - stage < config.levels) {
      const auto& own = decoder.input_projections()[3 - stage];
      add(own.conv, own.norm);
    }
    for (const SideProjection& s : side_)
      if (s.stage == stage) add(s.conv, s.norm);
    if (weights.empty()) continue;
    projections_[stage] = {ops::concatenate(weights, 0), ops::concatenate(biases, 0), ops::concatenate(scales, 0),
                           ops::concatenate(shifts, 0)};
  }
  const std::int64_t half = config.hidden / 2;
  for (const DeformableEncoderLayer& source : decoder.layers()) {
    Layer& layer = layers_.emplace_back();
    layer.source = &source;
    layer.sampling_weight = ops::concatenate({source.sampling_offsets.weight, source.attention_weights.weight}, 0);
    layer.sampling_y = plan::columns(layer.sampling_weight, 0, half);
    layer.sampling_x = plan::columns(layer.sampling_weight, half, half);
    const Tensor bias = ops::concatenate({source.sampling_offsets.bias, source.attention_weights.bias}, 0);
    for (int level = 0; level < config.levels; ++level)
      layer.sampling_constant.push_back(ops::linear(row(decoder.level_embed(), level), layer.sampling_weight, bias));
    const bool one_product = dtype == DType::f32;
    const nn::Linear& value = source.value_proj;
    layer.in_weight = one_product ? ops::concatenate({value.weight, layer.sampling_weight}, 0) : value.weight;
    layer.in_bias = one_product
                        ? ops::concatenate({value.bias, Tensor::zeros(bias.size(), DType::f32, bias.device())}, 0)
                        : value.bias;
  }
}

const std::vector<PixelDecoderPlan::Tables>& PixelDecoderPlan::tables(std::span<const ops::LevelShape> shapes) {
  auto& entry = tables_.of(shapes);
  if (!entry.empty()) return entry;
  for (const Layer& layer : layers_) {
    Tables& t = entry.emplace_back();
    for (std::size_t level = 0; level < shapes.size(); ++level) {
      const ops::PositionTables code = ops::sine_position_tables(shapes[level].height, shapes[level].width,
                                                                 layer.sampling_y.size(1), layer.sampling_y.device());
      const Tensor constant = ops::reshape(layer.sampling_constant[level], {-1});
      t.y.push_back(ops::linear(code.y, layer.sampling_y, constant));
      t.x.push_back(ops::linear(code.x, layer.sampling_x, {}));
    }
  }
  return entry;
}

void PixelDecoderPlan::project(const BackboneFeatures& features, PlannedPixels& out) const {
  const Mask2FormerConfig& config = source_.config();
  std::int64_t length = 0;
  for (int level = 0; level < config.levels; ++level) {
    const Tensor& map = features[3 - level];
    out.shapes.push_back({map.size(1), map.size(2)});
    length += map.size(1) * map.size(2);
  }
  out.tokens = Tensor::empty({features[3].size(0), length, config.hidden}, dtype_, features[3].device());
  out.side.resize(side_.size());
  for (int stage = 0; stage < 4; ++stage) {
    const Projection& projection = projections_[stage];
    if (!projection.weight) continue;
    const Tensor& map = features[stage];
    const Tensor pixels = ops::reshape(map, {map.size(0), map.size(1) * map.size(2), map.size(3)});
    const Tensor all = ops::linear(pixels, projection.weight, projection.bias, {.dtype = dtype_});
    const int groups = nn::kNormGroups * static_cast<int>(all.size(2) / config.hidden);
    const ops::ScaleShift norms =
        ops::group_norm_scale_shift(all, projection.norm_weight, projection.norm_bias, {.groups = groups});
    std::int64_t column = 0;
    const auto next = [&] {
      const std::int64_t start = std::exchange(column, column + config.hidden);
      return SideFeatures{
          ops::narrow(all, 2, start, config.hidden),
          {ops::narrow(norms.scale, 1, start, config.hidden), ops::narrow(norms.shift, 1, start, config.hidden)}};
    };
    if (const int level = 3 - stage; level < config.levels) {
      const SideFeatures own = next();
      (void)ops::channel_affine(own.pixels, own.map.scale, own.map.shift,
                                {.out = level_tokens(out.tokens, out.shapes, level)});
    }
    for (std::size_t i = 0; i < side_.size(); ++i)
      if (side_[i].stage == stage) out.side[i] = next();
  }
}

Tensor PixelDecoderPlan::encode(const Layer& layer, const Tables& tables, const Tensor& tokens,
                                std::span<const ops::LevelShape> shapes) const {
  const DeformableEncoderLayer& s = *layer.source;
  const std::int64_t hidden = tokens.size(2), samples = layer.sampling_weight.size(0);
  const Tensor projected = ops::linear(tokens, layer.in_weight, layer.in_bias, {.dtype = dtype_});
  ops::DeformSampling sampling{
      .table_y = tables.y, .table_x = tables.x, .heads = s.heads, .points = s.points, .out = dtype_};
  sampling.value = ops::narrow(projected, 2, 0, hidden);
  // In bf16 the offsets keep f32: rounding them would move the samples by up to 0.06 pixels.
  sampling.sampling = dtype_ == DType::f32 ? ops::narrow(projected, 2, hidden, samples)
                                           : ops::linear(tokens, layer.sampling_weight, {}, {.dtype = DType::f32});
  const Tensor sampled = ops::deform_attention_fused(sampling, shapes);
  const auto dense = [&](const nn::Linear& l, const Tensor& x, Activation activation) {
    return ops::linear(x, l.weight, l.bias, {.activation = activation, .dtype = dtype_});
  };
  const Tensor x = s.norm1(tokens, dense(s.output_proj, sampled, Activation::none));
  return s.norm2(x, dense(s.linear2, dense(s.linear1, x, Activation::relu), Activation::none));
}

void PixelDecoderPlan::merge(const BackboneFeatures& features, PlannedPixels& out, PixelFeatures* trace) const {
  Tensor top = level_view(out.tokens, out.shapes, out.shapes.size() - 1);
  for (std::size_t i = source_.adapters().size(); i-- > 0;) {
    const auto convolve = [&](const GroupNormedConv& c, const Tensor& x, Activation activation) {
      const Tensor y = ops::conv2d(x, c.conv.weight, {}, {.padding = c.conv.padding(), .dtype = dtype_});
      return c.norm(y, activation, y);
    };
    const Tensor lateral = convolve(source_.adapters()[i], features[i], Activation::none);
    if (trace) trace->lateral = ops::permute(ops::cast(lateral, DType::f32), {0, 1, 2, 3});
    ops::upsample2x_add(top, lateral);
    top = convolve(source_.outputs()[i], lateral, Activation::relu);
  }
  out.merged = top;
  out.cells = ops::pool_center(top, {2, 4, 8});
}

PlannedPixels PixelDecoderPlan::operator()(const BackboneFeatures& features, PixelFeatures* trace) {
  PlannedPixels out;
  project(features, out);
  const std::vector<Tables>& all_tables = tables(out.shapes);
  if (trace) trace->layer_tokens.push_back(ops::cast(out.tokens, DType::f32));
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    out.tokens = encode(layers_[i], all_tables[i], out.tokens, out.shapes);
    if (trace) trace->layer_tokens.push_back(ops::cast(out.tokens, DType::f32));
  }
  merge(features, out, trace);
  if (trace) {
    trace->shapes = out.shapes;
    trace->tokens = trace->layer_tokens.back();
    trace->merged = ops::cast(out.merged, DType::f32);
    trace->mask_features = source_.mask_features()(trace->merged);
  }
  return out;
}

}  // namespace visage
