#include "nn/init/test_weights.h"

#include "tensor/transfer.h"

#include <cmath>
#include <string>

namespace visage::nn {
namespace {

struct Rule {
  enum class From { constant, uniform, symmetric } from;
  float offset = 0.f, scale = 1.f;
};

float fan_in_scale(const std::string& name, const Dims& file_size) {
  std::int64_t fan_in = 1;
  for (int i = 1; i < file_size.rank; ++i) fan_in *= file_size.d[i];
  const float gain = name.starts_with("backbone.") ? 6.f : 3.f;
  const float scale = std::sqrt(gain / static_cast<float>(fan_in));
  // The branches that are added to a residual stream are damped, or the sum would grow with depth.
  const bool residual =
      name.ends_with("out_proj.weight") || name.ends_with("output_proj.weight") || name.ends_with("linear2.weight");
  return residual ? 0.25f * scale : scale;
}

Rule rule_of(const std::string& name, const Dims& file_size) {
  using From = Rule::From;
  const auto contains = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  const bool vector = file_size.rank == 1;
  if (name == "criterion.empty_weight") return {From::constant, 1.f};
  if (name.ends_with("running_var")) return {From::uniform, 1.f, 0.5f};
  if (contains("query_") || contains("level_embed")) return {From::symmetric};
  if (name.ends_with("sampling_offsets.bias")) return {From::symmetric, 0.f, 3.f};
  if (vector && name.ends_with("conv3.norm.weight")) return {From::symmetric, 0.25f, 0.25f * 0.125f};
  if (vector && name.ends_with(".weight")) return {From::symmetric, 1.f, 0.125f};
  if (vector) return {From::symmetric, 0.f, 0.0625f};
  return {From::symmetric, 0.f, fan_in_scale(name, file_size)};
}

float value_at(const Rule& rule, const HashStream& stream, std::int64_t index) {
  switch (rule.from) {
    case Rule::From::constant: return rule.offset;
    case Rule::From::uniform: return rule.offset + rule.scale * stream.uniform(index);
    default: return rule.offset + rule.scale * stream.symmetric(index);
  }
}

void fill(const Entry& entry, const Rule& rule, const HashStream& stream) {
  auto* out = entry.value.data<float>();
  if (entry.layout == FileLayout::same) {
    for (std::int64_t i = 0; i < entry.value.numel(); ++i) out[i] = value_at(rule, stream, i);
    return;
  }
  const Dims& size = entry.value.size();
  const std::int64_t inputs = size[3], taps = size[1] * size[2];
  for (std::int64_t o = 0; o < size[0]; ++o)
    for (std::int64_t tap = 0; tap < taps; ++tap)
      for (std::int64_t i = 0; i < inputs; ++i) *out++ = value_at(rule, stream, (o * inputs + i) * taps + tap);
}

}  // namespace

HashStream::HashStream(std::string_view name) : start_(0xcbf29ce484222325u) {
  for (const char c : name) start_ = (start_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
}

void fill_test_weights(ParamStore& store, std::string_view seed) {
  for (const Entry& entry : store.entries()) {
    const HashStream stream(std::string(seed) + "/" + entry.name);
    write_from_host(entry.value, [&](const Tensor& host) {
      Entry filled = entry;
      filled.value = host;
      fill(filled, rule_of(entry.name, entry.file_size()), stream);
      // The "no object" class weighs a tenth of the others in the classification loss.
      if (entry.name == "criterion.empty_weight") host.data<float>()[host.numel() - 1] = 0.1f;
    });
  }
}

}  // namespace visage::nn
