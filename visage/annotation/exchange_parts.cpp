#include "visage/annotation/exchange_parts.h"

#include "tensor/error.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

namespace visage::annotation {
namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

const std::string& category_name(const VideoTracks& tracks, int64_t id) {
  const auto found = std::find_if(tracks.categories.begin(), tracks.categories.end(),
                                  [&](const Category& category) { return category.id == id; });
  check<InputError>(found != tracks.categories.end(), "no class has id ", id);
  return found->name;
}

void check_absent(const std::string& path) {
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  check<InputError>(!there || (std::filesystem::is_directory(path, error) && std::filesystem::is_empty(path, error)),
                    "", path, ": is there already; choose another name");
}

Video unnamed_frames(int64_t length, int64_t height, int64_t width, const std::string& where) {
  constexpr int64_t kMostFrames = 100'000'000;
  check<InputError>(length > 0 && length <= kMostFrames && height > 0 && width > 0 && height <= kMaxPixels / width, "",
                    where, ": no video has ", length, " frames of ", width, "x", height);
  Video video{.id = 1, .height = height, .width = width, .file_names = {}};
  for (int64_t frame = 0; frame < length; ++frame) {
    char name[32];
    std::snprintf(name, sizeof name, "frame_%06lld", static_cast<long long>(frame));
    video.file_names.emplace_back(name);
  }
  return video;
}

void check_frame(int64_t frame, const Video& video, const std::string& where) {
  check<InputError>(frame >= 0 && frame < video.length(), "", where, ": no such frame; the video has ", video.length());
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

double to_number(std::string_view text, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check<InputError>(error == std::errc() && end == text.data() + text.size() && std::isfinite(value), "", where, ": \"",
                    std::string(text), "\" is not a number");
  return value;
}

int64_t to_whole(std::string_view text, const std::string& where) {
  const double value = to_number(text, where);
  check<InputError>(value == std::floor(value) && std::abs(value) < 1e15, "", where, ": \"", std::string(text),
                    "\" is not a whole number");
  return static_cast<int64_t>(value);
}

}  // namespace visage::annotation
