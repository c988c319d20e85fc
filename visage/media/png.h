#pragma once
#include "visage/media/image.h"

#include <cstdint>
#include <span>
#include <string>

namespace visage::media {

/// Bytes of an 8-bit RGB PNG. Throws InputError when the image is empty or too large for the format.
[[nodiscard]] std::string encode_png(const Image& image);

/// Bytes of a 16-bit grey PNG whose pixel values are track ids: row-major [height, width], 0 = background.
/// Throws UsageError when ids.size() is not width * height; InputError as encode_png.
[[nodiscard]] std::string encode_id_map(std::span<const uint16_t> ids, Size size);

/// Writes encode_png(image). The file appears under its name when it is complete and on the disk; in a folder that is
/// published as a whole, write the bytes with files::write_file. Throws InputError naming the file when it cannot be
/// written.
void write_png(const std::string& path, const Image& image);

}  // namespace visage::media
