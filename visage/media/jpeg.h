#pragma once
#include "visage/media/image.h"

#include <string>

namespace visage::media {

/// Bytes of a baseline JPEG; quality is from 1 to 100, and from 91 on colour is not subsampled. Equal images give equal
/// bytes. Throws InputError when the image is empty or a side has more than 65535 pixels, UsageError for the quality.
[[nodiscard]] std::string encode_jpeg(const Image& image, int quality = 95);

}  // namespace visage::media
