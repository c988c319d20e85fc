#include "ops/position/position_kernels.h"

#include <cmath>
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

}  // namespace visage::ops
