#pragma once
#include <cstdint>
#include <span>

namespace visage::media {

/// Looks for damage that stb_image decodes without a word: PNG chunks whose CRC-32 differs or that are cut off, JPEG
/// scans without an end marker, BMP and PNM files shorter than their pixels. Null when nothing is wrong or the format
/// is another; otherwise what is.
[[nodiscard]] const char* find_damage(std::span<const uint8_t> file);

}  // namespace visage::media
