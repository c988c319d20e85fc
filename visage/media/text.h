#pragma once
#include "visage/media/image.h"

#include <array>
#include <cstdint>
#include <string_view>

namespace visage::media {

/// Size in pixels of one line in the built-in 5x7 font, `scale` pixels a dot, a dot between characters.
[[nodiscard]] Size measure_text(std::string_view text, int scale);

/// Draws one line with its upper left corner at (x, y), cut at the image's borders. Every character of UTF-8 text other
/// than printable ASCII is drawn as '?'.
void draw_text(Image& image, std::string_view text, int x, int y, std::array<uint8_t, 3> color, int scale);

}  // namespace visage::media
