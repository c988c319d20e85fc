#pragma once
#include <array>
#include <cstdint>

namespace visage::media {

/// RGB colour of a track, the same in every frame and run. Hues step by the golden angle, so that any few consecutive
/// ids are far apart; brightness and saturation alternate, so that ids whose hues come close again still differ.
[[nodiscard]] std::array<uint8_t, 3> track_color(int id);

}  // namespace visage::media
