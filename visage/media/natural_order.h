#pragma once
#include <string_view>

namespace visage::media {

/// Order in which a person counts files: runs of digits compare by value (img2 < img10), everything else by byte.
/// Names equal up to leading zeros are ordered by length, then by byte, so that the order is total.
[[nodiscard]] bool natural_less(std::string_view a, std::string_view b);

}  // namespace visage::media
