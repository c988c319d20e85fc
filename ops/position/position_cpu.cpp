#include "ops/position/position_kernels.h"

#include <cmath>
#include <cstring>
#include <numbers>

namespace visage::ops {

void sine_axis_cpu(const View& out) {
  const std::int64_t count = out.size[0], features = out.size[1];
  constexpr double kTemperature = 10000, kEpsilon = 1e-6;
  for (std::int64_t i = 0; i < count; ++i) {
    const double p = 2 * std::numbers::pi * static_cast<double>(i + 1) / (static_cast<double>(count) + kEpsilon);
    for (std::int64_t j = 0; j < features; j += 2) {
      const double angle = p / std::pow(kTemperature, static_cast<double>(j) / static_cast<double>(features));
      out.as<float>()[i * features + j] = static_cast<float>(std::sin(angle));
      out.as<float>()[i * features + j + 1] = static_cast<float>(std::cos(angle));
    }
  }
}

void join_axes_cpu(const View& y, const View& x, const View& out) {
  const std::int64_t from_y = y.size[1], from_x = x.size[1], width = x.size[0];
  for (std::int64_t i = 0; i < out.size[0]; ++i) {
    float* row = out.as<float>() + i * (from_y + from_x);
    std::memcpy(row, y.as<float>() + i / width * from_y, static_cast<std::size_t>(from_y) * sizeof(float));
    std::memcpy(row + from_y, x.as<float>() + i % width * from_x, static_cast<std::size_t>(from_x) * sizeof(float));
  }
}

}  // namespace visage::ops
