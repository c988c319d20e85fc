#include "visage/media/contact_sheet.h"

#include "tensor/error.h"
#include "visage/media/text.h"

#include <algorithm>
#include <cstring>

namespace visage::media {
namespace {

constexpr int kGap = 8;

std::string_view fitting(std::string_view text, int width, int scale) {
  while (!text.empty() && measure_text(text, scale).width > width) text.remove_suffix(1);
  return text;
}

}  // namespace

Image contact_sheet(std::span<const Image> images, int columns, std::span<const std::string> captions) {
  check<UsageError>(columns >= 1 && !images.empty(), "contact_sheet: needs images and at least one column; got ",
                    images.size(), " images, ", columns, " columns");
  check<UsageError>(captions.empty() || captions.size() == images.size(),
                    "contact_sheet: needs one caption an image; got ", captions.size(), " for ", images.size());
  const int64_t count = static_cast<int64_t>(images.size());
  const int64_t across = std::min<int64_t>(columns, count);
  const int64_t down = (count + columns - 1) / columns;
  Size cell;
  for (const Image& image : images) {
    cell = {std::max(cell.width, image.width), std::max(cell.height, image.height)};
  }
  const int scale = std::clamp(cell.width / 320, 1, 4);
  const int caption_height = captions.empty() ? 0 : measure_text("X", scale).height + kGap / 2;
  const int64_t step_x = int64_t{cell.width} + kGap, step_y = int64_t{cell.height} + caption_height + kGap;
  const int64_t width = across * step_x + kGap, height = down * step_y + kGap;
  check<InputError>(width <= kMaxPixels && height <= kMaxPixels / width, "contact_sheet: ", width, "x", height,
                    " is more than ", kMaxPixels, " pixels; use fewer or smaller images");
  Image sheet(static_cast<int>(width), static_cast<int>(height));
  std::fill(sheet.rgb.begin(), sheet.rgb.end(), uint8_t{255});
  for (int64_t i = 0; i < count; ++i) {
    const int x = static_cast<int>(kGap + i % columns * step_x), y = static_cast<int>(kGap + i / columns * step_y);
    const Image& image = images[i];
    for (int row = 0; row < image.height; ++row) {
      std::memcpy(sheet.pixel(x, y + row), image.row(row), size_t{3} * image.width);
    }
    if (!captions.empty()) {
      draw_text(sheet, fitting(captions[i], cell.width, scale), x, y + cell.height + kGap / 2, {40, 40, 40}, scale);
    }
  }
  return sheet;
}

}  // namespace visage::media
