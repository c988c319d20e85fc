#pragma once
#include "visage/media/image.h"

#include <cstdint>
#include <span>
#include <string>

namespace visage::media {

/// Writes an 8-bit RGB PNG. The file appears under its name when it is complete. Throws InputError naming the file when
/// it cannot be written.
void write_png(const std::string& path, const Image& image);

enum class IdMapFormat {
  palette,  // 8-bit indexed, pixel = id, shown in the overlay's colours; ids up to 255
  grey16,   // 16-bit grey, pixel = id
};

/// Writes a map of track ids, row-major [height, width], 0 = background, as a PNG whose pixel values are the ids.
/// Throws InputError when the file cannot be written or, with IdMapFormat::palette, an id exceeds 255; UsageError when
/// ids.size() is not width * height.
void write_id_map(const std::string& path, std::span<const uint16_t> ids, Size size, IdMapFormat format);

}  // namespace visage::media
