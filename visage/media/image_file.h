#pragma once
#include "visage/media/image.h"

#include <string>
#include <string_view>

namespace visage::media {

/// Extensions read as images, for messages: ".png .jpg ...".
inline constexpr std::string_view kImageExtensions = ".png .jpg .jpeg .bmp .ppm .pgm .pnm";

/// Whether the name ends in one of kImageExtensions, upper or lower case.
[[nodiscard]] bool has_image_extension(const std::string& path);

/// Size from the header alone. Throws InputError as read_image does.
[[nodiscard]] Size read_image_size(const std::string& path);

/// Reads a PNG, JPEG, BMP or PNM file as 8-bit RGB: grey is repeated, alpha dropped, 16 bits cut to the upper 8,
/// orientation and colour-profile tags ignored. Throws InputError naming the file when it is missing, no image, cut
/// short, fails its checksums (PNG), or has more than kMaxPixels pixels.
[[nodiscard]] Image read_image(const std::string& path);

}  // namespace visage::media
