#include "cli/options.h"

#include "visage/media/frame_rate.h"

#include <charconv>

namespace visage::cli {

media::Size parse_size(const std::string& text) {
  media::Size size;
  const char* const end = text.data() + text.size();
  const auto [cross, width_error] = std::from_chars(text.data(), end, size.width);
  const bool has_cross = width_error == std::errc() && cross != end && *cross == 'x';
  const auto height = has_cross ? std::from_chars(cross + 1, end, size.height) : std::from_chars_result{};
  check<UsageError>(has_cross && height.ec == std::errc() && height.ptr == end && size.width > 0 && size.height > 0,
                    "--size: \"", text, "\" is not a size; write WIDTHxHEIGHT, for example 1280x720");
  return size;
}

double checked_fps(double fps) {
  check<UsageError>(fps >= media::kLeastFps && fps <= media::kMostFps, "--fps: must be ", media::kLeastFps, " to ",
                    media::kMostFps, "; got ", fps);
  return fps;
}

}  // namespace visage::cli
