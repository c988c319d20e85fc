#pragma once
#include <string>
#include <string_view>

namespace visage::media {

/// Text as it may stand in HTML and SVG, in elements and in quoted attributes.
[[nodiscard]] std::string escaped_markup(std::string_view text);

}  // namespace visage::media
