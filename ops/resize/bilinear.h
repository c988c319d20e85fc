#pragma once
#include <cstdint>

namespace visage::ops {

/// The two source indices of one output index in one axis and the weight of the upper one.
struct BilinearTap {
  std::int32_t lower;
  std::int32_t upper;
  float weight;
};

/// align_corners = false; computed in f32 like the reference, so that ties in later thresholds fall the same way.
constexpr BilinearTap bilinear_tap(std::int64_t out_index, std::int64_t in_size, std::int64_t out_size) {
  const float ratio = static_cast<float>(in_size) / static_cast<float>(out_size);
  const float source = ratio * (static_cast<float>(out_index) + 0.5f) - 0.5f;
  const float clamped = source > 0.f ? source : 0.f;
  const auto last = static_cast<std::int32_t>(in_size - 1);
  const auto whole = static_cast<std::int32_t>(clamped);
  const std::int32_t lower = whole < last ? whole : last;
  return {lower, lower < last ? lower + 1 : last, clamped - static_cast<float>(lower)};
}

}  // namespace visage::ops
