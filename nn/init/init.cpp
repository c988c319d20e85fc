#include "nn/init/init.h"

#include "tensor/transfer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace visage::nn {
namespace {

double fan_in(const Tensor& tensor) {
  return static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(0));
}
double fan_out(const Tensor& tensor) {
  return static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(-1));
}

void fill_uniform(const Tensor& tensor, double bound, const HashStream& stream) {
  auto* out = tensor.data<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) out[i] = static_cast<float>(bound) * stream.symmetric(i);
}

void fill_weight(const Entry& entry, const HashStream& stream) {
  const std::string& name = entry.name;
  const bool convolution = entry.layout == FileLayout::oihw;
  if (name.ends_with("sampling_offsets.weight") || name.ends_with("attention_weights.weight"))
    return fill_constant(entry.value, 0.f);
  if (name.ends_with("level_embed")) return fill_normal(entry.value, 1.f, stream);
  if (convolution && name.starts_with("backbone.")) return fill_kaiming_normal(entry.value, stream);
  if (convolution) return fill_c2_xavier(entry.value, stream);
  fill_xavier_uniform(entry.value, stream);
}

void fill_buffer(const Entry& entry) {
  const std::string& name = entry.name;
  const bool scale = name.ends_with("running_var") || name.ends_with(".weight") || name.ends_with("empty_weight");
  fill_constant(entry.value, scale ? 1.f : 0.f);
  // "No object" is the last class and far the most frequent; the classification loss gives it a tenth of the weight.
  if (name.ends_with("empty_weight")) entry.value.data<float>()[entry.value.numel() - 1] = 0.1f;
}

void fill_entry(const Entry& entry, const InitOptions& options) {
  const HashStream stream(std::to_string(options.seed) + "/" + entry.name);
  switch (entry.role) {
    case Role::weight: return fill_weight(entry, stream);
    case Role::bias:
      if (entry.name.ends_with("sampling_offsets.bias"))
        return fill_directions(entry.value, options.heads, options.points);
      return fill_constant(entry.value, 0.f);
    case Role::norm: return fill_constant(entry.value, entry.name.ends_with("bias") ? 0.f : 1.f);
    case Role::embedding: return fill_normal(entry.value, 1.f, stream);
    case Role::statistic: return fill_buffer(entry);
  }
}

}  // namespace

void fill_constant(const Tensor& tensor, float value) { std::fill_n(tensor.data<float>(), tensor.numel(), value); }

void fill_normal(const Tensor& tensor, float deviation, const HashStream& stream) {
  auto* out = tensor.data<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    // 1 - u is in (0, 1], so the logarithm is finite.
    const float radius = std::sqrt(-2.f * std::log(1.f - stream.uniform(2 * i)));
    out[i] = deviation * radius * std::cos(2.f * std::numbers::pi_v<float> * stream.uniform(2 * i + 1));
  }
}

void fill_xavier_uniform(const Tensor& tensor, const HashStream& stream) {
  fill_uniform(tensor, std::sqrt(6. / (fan_in(tensor) + fan_out(tensor))), stream);
}

void fill_kaiming_normal(const Tensor& tensor, const HashStream& stream) {
  fill_normal(tensor, static_cast<float>(std::sqrt(2. / fan_out(tensor))), stream);
}

void fill_c2_xavier(const Tensor& tensor, const HashStream& stream) {
  fill_uniform(tensor, std::sqrt(3. / fan_in(tensor)), stream);
}

void fill_directions(const Tensor& bias, std::int64_t heads, std::int64_t points) {
  check<ShapeError>(heads > 0 && points > 0 && bias.numel() % (heads * points * 2) == 0,
                    "fill_directions: bias must be [heads * levels * points * 2]; got ", bias.size(), " for ", heads,
                    " heads and ", points, " points");
  const std::int64_t levels = bias.numel() / (heads * points * 2);
  auto* out = bias.data<float>();
  for (std::int64_t head = 0; head < heads; ++head) {
    const double angle = 2. * std::numbers::pi * static_cast<double>(head) / static_cast<double>(heads);
    const double x = std::cos(angle), y = std::sin(angle), longest = std::max(std::abs(x), std::abs(y));
    for (std::int64_t i = 0; i < levels * points; ++i) {
      const auto distance = static_cast<double>(i % points + 1);
      *out++ = static_cast<float>(x / longest * distance);
      *out++ = static_cast<float>(y / longest * distance);
    }
  }
}

void initialise(ParamStore& store, const InitOptions& options) {
  for (const Entry& entry : store.entries()) {
    write_from_host(entry.value, [&](const Tensor& host) {
      Entry filled = entry;
      filled.value = host;
      fill_entry(filled, options);
    });
  }
}

}  // namespace visage::nn
