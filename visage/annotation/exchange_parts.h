#pragma once
#include "visage/annotation/exchange.h"

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Internal to visage/annotation: what the formats of exchange.h share.
namespace visage::annotation {

/// Name of a class of the video. Throws InputError when there is none with this id.
[[nodiscard]] const std::string& category_name(const VideoTracks& tracks, int64_t id);

/// Throws InputError when something is at `path` that a writer would replace.
void check_absent(const std::string& path);

/// A video of `length` frames named as those of a video file: "frame_000012". Throws InputError "where: no video has
/// ..." for lengths and sizes that a file from outside may claim but no video has.
[[nodiscard]] Video unnamed_frames(int64_t length, int64_t height, int64_t width, const std::string& where);

/// Throws InputError for a frame outside 0 .. length - 1.
void check_frame(int64_t frame, const Video& video, const std::string& where);

/// Trimmed parts between separators.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);

/// The whole text as a number. Throws InputError "where: ... is not a number".
[[nodiscard]] double to_number(std::string_view text, const std::string& where);
[[nodiscard]] int64_t to_whole(std::string_view text, const std::string& where);

/// Appends the shortest text that reads back the same.
template <class Number>
void append(std::string& out, Number value) {
  char digits[32];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

}  // namespace visage::annotation
