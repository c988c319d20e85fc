#include "tests/support/values.h"
#include "tests/visage/model/offline_reference.h"

#include <algorithm>
#include <cmath>

namespace visage::test {
namespace {

void append(Numbers& to, const Numbers& from) { to.insert(to.end(), from.begin(), from.end()); }

Numbers sum(const Numbers& a, const Numbers& b) {
  Numbers out = a;
  for (std::size_t i = 0; i < a.size(); ++i) out[i] += b[i];
  return out;
}

// Channel `c` of the code of place `i` on an axis of length `n`, with `channels` channels.
double axis_code(std::int64_t i, std::int64_t n, std::int64_t c, std::int64_t channels) {
  const double place = 2 * M_PI * static_cast<double>(i + 1) / (static_cast<double>(n) + 1e-6);
  const auto pair = static_cast<double>(2 * (c / 2));
  const double angle = place / std::pow(10000.0, pair / static_cast<double>(channels));
  return c % 2 == 0 ? std::sin(angle) : std::cos(angle);
}

// Two neighbours of an output pixel and the weight of the second.
struct Blend {
  std::int64_t low, high;
  double weight;
  Blend(std::int64_t to, std::int64_t in, std::int64_t out) {
    const double at =
        std::max((static_cast<double>(to) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5, 0.0);
    low = static_cast<std::int64_t>(at);
    high = std::min(low + 1, in - 1);
    weight = at - static_cast<double>(low);
  }
};

}  // namespace

ReferencePixels::ReferencePixels(const PixelFeatures& pixel)
    : shapes(pixel.shapes),
      images(pixel.tokens.size(0)),
      length(pixel.tokens.size(1)),
      height(pixel.mask_features.size(1)),
      width(pixel.mask_features.size(2)),
      channels(pixel.mask_features.size(3)),
      tokens(values_of(pixel.tokens)),
      features(values_of(pixel.mask_features)) {}

ReferenceDecoder::ReferenceDecoder(const nn::ParamStore& params, const std::string& prefix,
                                   const Mask2FormerConfig& config)
    : config_(config) {
  for (const nn::Entry& entry : params.entries())
    if (entry.name.starts_with(prefix)) weights[entry.name.substr(prefix.size())] = values_of(entry.value);
}

Numbers ReferenceDecoder::linear(const Numbers& x, const Numbers& weight, const Numbers& bias) const {
  const std::size_t outputs = bias.size(), inputs = weight.size() / outputs, rows = x.size() / inputs;
  Numbers y(rows * outputs);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t o = 0; o < outputs; ++o) {
      double value = bias[o];
      for (std::size_t i = 0; i < inputs; ++i) value += weight[o * inputs + i] * x[r * inputs + i];
      y[r * outputs + o] = value;
    }
  return y;
}

Numbers ReferenceDecoder::linear(const Numbers& x, const std::string& name) const {
  return linear(x, weights.at(name + ".weight"), weights.at(name + ".bias"));
}

Numbers ReferenceDecoder::norm(const Numbers& x, const std::string& name) const {
  const Numbers &scale = weights.at(name + ".weight"), &shift = weights.at(name + ".bias");
  const std::size_t channels = scale.size();
  Numbers y(x.size());
  for (std::size_t r = 0; r < x.size(); r += channels) {
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < channels; ++c) mean += x[r + c] / static_cast<double>(channels);
    for (std::size_t c = 0; c < channels; ++c)
      variance += (x[r + c] - mean) * (x[r + c] - mean) / static_cast<double>(channels);
    for (std::size_t c = 0; c < channels; ++c)
      y[r + c] = (x[r + c] - mean) / std::sqrt(variance + 1e-5) * scale[c] + shift[c];
  }
  return y;
}

Numbers ReferenceDecoder::project(const Numbers& x, const std::string& name, int part) const {
  const Numbers &weight = weights.at(name + ".in_proj_weight"), &bias = weights.at(name + ".in_proj_bias");
  const std::int64_t channels = config_.hidden, square = channels * channels;
  return linear(x, {weight.begin() + part * square, weight.begin() + (part + 1) * square},
                {bias.begin() + part * channels, bias.begin() + (part + 1) * channels});
}

Numbers ReferenceDecoder::attend(const Numbers& query, const Numbers& key, const Numbers& value,
                                 const std::string& name, const std::vector<bool>& blocked) const {
  const Numbers q = project(query, name, 0), k = project(key, name, 1), v = project(value, name, 2);
  const std::size_t channels = config_.hidden, heads = config_.heads, size = channels / heads;
  const std::size_t queries = q.size() / channels, keys = k.size() / channels;
  Numbers out(q.size(), 0.0);
  for (std::size_t i = 0; i < queries; ++i)
    for (std::size_t first = 0; first < channels; first += size) {
      Numbers share(keys, 0.0);
      double whole = 0;
      for (std::size_t j = 0; j < keys; ++j) {
        if (!blocked.empty() && blocked[i * keys + j]) continue;
        double score = 0;
        for (std::size_t c = first; c < first + size; ++c) score += q[i * channels + c] * k[j * channels + c];
        whole += share[j] = std::exp(score / std::sqrt(static_cast<double>(size)));
      }
      for (std::size_t j = 0; j < keys; ++j)
        for (std::size_t c = first; c < first + size; ++c)
          out[i * channels + c] += share[j] / whole * v[j * channels + c];
    }
  return linear(out, name + ".out_proj");
}

Numbers ReferenceDecoder::with_query_embed(const Numbers& x) const { return sum(x, weights.at("query_embed.weight")); }

ReferenceHead ReferenceDecoder::predict(const Numbers& x, const ReferencePixels& pixels, std::int64_t clip,
                                        std::int64_t frames) const {
  const Numbers normed = norm(x, "decoder_norm");
  ReferenceHead head{.query = x, .classes = linear(normed, "class_embed"), .embedding = normed, .masks = {}};
  for (int layer = 0; layer < 3; ++layer) {
    head.embedding = linear(head.embedding, "mask_embed.layers." + std::to_string(layer));
    if (layer < 2)
      for (double& value : head.embedding) value = std::max(value, 0.0);
  }
  const std::int64_t area = frames * pixels.height * pixels.width, channels = pixels.channels;
  for (std::int64_t q = 0; q < config_.num_queries; ++q)
    for (std::int64_t at = clip * area; at < (clip + 1) * area; ++at) {
      double logit = 0;
      for (std::int64_t c = 0; c < channels; ++c)
        logit += head.embedding[q * channels + c] * pixels.features[at * channels + c];
      head.masks.push_back(logit);
    }
  return head;
}

std::vector<bool> ReferenceDecoder::blocked_keys(const Numbers& masks, const ReferencePixels& pixels, int level,
                                                 std::int64_t frames, ReferenceDecoding& out) const {
  const auto [height, width] = pixels.shapes[level];
  std::vector<bool> blocked;
  for (std::int64_t q = 0; q < config_.num_queries; ++q) {
    std::int64_t blind_frames = 0;
    const std::size_t row = blocked.size();
    for (std::int64_t t = 0; t < frames; ++t) {
      const double* const mask = masks.data() + (q * frames + t) * pixels.height * pixels.width;
      bool sees = false;
      for (std::int64_t i = 0; i < height * width; ++i) {
        const Blend y(i / width, pixels.height, height), x(i % width, pixels.width, width);
        const auto line = [&](std::int64_t at) {
          const double* const values = mask + at * pixels.width;
          return values[x.low] + x.weight * (values[x.high] - values[x.low]);
        };
        const double logit = line(y.low) + y.weight * (line(y.high) - line(y.low));
        out.margin = std::min(out.margin, std::abs(logit));
        blocked.push_back(1 / (1 + std::exp(-logit)) < 0.5);
        sees = sees || !blocked.back();
      }
      blind_frames += sees ? 0 : 1;
    }
    if (blind_frames == frames) {
      std::fill(blocked.begin() + static_cast<std::ptrdiff_t>(row), blocked.end(), false);
      ++out.rows_that_see_all;
    } else if (blind_frames > 0) {
      ++out.rows_blind_in_frame;
    }
  }
  return blocked;
}

void ReferenceDecoder::decode_clip(const ReferencePixels& pixels, std::int64_t clip, std::int64_t frames,
                                   ReferenceDecoding& out) const {
  const std::int64_t channels = config_.hidden;
  std::vector<Numbers> keys, values;
  std::int64_t first = 0;  // token of the level
  for (int level = 0; level < config_.levels; ++level) {
    const auto [height, width] = pixels.shapes[level];
    Numbers& key = keys.emplace_back();
    Numbers& value = values.emplace_back();
    for (std::int64_t t = 0; t < frames; ++t)
      for (std::int64_t i = 0; i < height * width; ++i)
        for (std::int64_t c = 0; c < channels; ++c) {
          const std::int64_t half = channels / 2, token = (clip * frames + t) * pixels.length + first + i;
          const double in_frame =
              c < half ? axis_code(i / width, height, c, half) : axis_code(i % width, width, c - half, half);
          value.push_back(pixels.tokens[token * channels + c] + weights.at("level_embed.weight")[level * channels + c]);
          key.push_back(value.back() + in_frame + axis_code(t, frames, c, channels));
        }
    first += height * width;
  }

  Numbers x = weights.at("query_feat.weight");
  for (int layer = 0;; ++layer) {
    const ReferenceHead head = predict(x, pixels, clip, frames);
    append(out.heads[layer].query, head.query);
    append(out.heads[layer].classes, head.classes);
    append(out.heads[layer].embedding, head.embedding);
    append(out.heads[layer].masks, head.masks);
    if (layer == config_.decoder_layers) break;
    const int level = layer % config_.levels;
    const std::string number = std::to_string(layer), cross = "transformer_cross_attention_layers." + number,
                      self = "transformer_self_attention_layers." + number, ffn = "transformer_ffn_layers." + number;
    const std::vector<bool> blocked = blocked_keys(head.masks, pixels, level, frames, out);
    const Numbers seen = attend(with_query_embed(x), keys[level], values[level], cross + ".multihead_attn", blocked);
    x = norm(sum(x, seen), cross + ".norm");
    const Numbers placed = with_query_embed(x);
    x = norm(sum(x, attend(placed, placed, x, self + ".self_attn", {})), self + ".norm");
    Numbers inner = linear(x, ffn + ".linear1");
    for (double& value : inner) value = std::max(value, 0.0);
    x = norm(sum(x, linear(inner, ffn + ".linear2")), ffn + ".norm");
  }
  append(out.embeddings, norm(x, "decoder_norm"));
}

ReferenceDecoding ReferenceDecoder::operator()(const ReferencePixels& pixels, std::int64_t frames) const {
  ReferenceDecoding out;
  out.heads.resize(config_.decoder_layers + 1);
  for (std::int64_t clip = 0; clip < pixels.images / frames; ++clip) decode_clip(pixels, clip, frames, out);
  return out;
}

}  // namespace visage::test
