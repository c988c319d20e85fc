#pragma once
#include "visage/media/image.h"

#include <span>
#include <string>

namespace visage::media {

/// Images on a white sheet, row by row, each in a cell of the largest width and height, with its caption (a line in the
/// built-in font, cut at the cell) below. `captions` is empty or has one entry an image.
/// Throws UsageError when columns < 1, there is no image, or the counts differ; InputError past kMaxPixels.
[[nodiscard]] Image contact_sheet(std::span<const Image> images, int columns,
                                  std::span<const std::string> captions = {});

}  // namespace visage::media
