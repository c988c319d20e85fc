#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace visage::pseudo {

inline constexpr std::array<std::string_view, 8> kShapeNames = {"circle", "square", "triangle", "star",
                                                                "ring",   "cross",  "hexagon",  "heart"};

/// Signed distance from (x, y) to the outline of a shape that fits the unit circle; negative inside.
[[nodiscard]] double shape_distance(int64_t shape, double x, double y);

}  // namespace visage::pseudo
