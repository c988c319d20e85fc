#include "visage/media/image_integrity.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>

namespace visage::media {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr const char* kCutShort = "the file is cut short";

uint32_t big_endian(Bytes at) { return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3]; }
uint32_t little_endian(Bytes at) {
  return uint32_t{at[3]} << 24 | uint32_t{at[2]} << 16 | uint32_t{at[1]} << 8 | at[0];
}

bool starts_with(Bytes file, std::string_view magic) {
  return file.size() >= magic.size() && std::equal(magic.begin(), magic.end(), file.begin(),
                                                   [](char m, uint8_t b) { return static_cast<uint8_t>(m) == b; });
}

const char* find_png_damage(Bytes file) {
  constexpr size_t kAround = 12;  // length, type and CRC of a chunk
  for (size_t at = 8; file.size() - at >= kAround;) {
    const uint64_t length = big_endian(file.subspan(at));
    if (length > file.size() - at - kAround) return kCutShort;
    const Bytes body = file.subspan(at + 4, length + 4);
    if (crc32(0, body.data(), static_cast<uInt>(body.size())) != big_endian(file.subspan(at + 8 + length))) {
      return "a checksum is wrong";
    }
    if (starts_with(body, "IEND")) return nullptr;
    at += length + kAround;
  }
  return kCutShort;
}

const char* find_jpeg_damage(Bytes file) {
  // Inside a scan 0xFF is always stuffed, so the end marker must follow the last start of a scan; a thumbnail's markers
  // come before it.
  for (size_t at = file.size() - 1; at-- > 0;) {
    if (file[at] != 0xFF) continue;
    if (file[at + 1] == 0xD9) return nullptr;
    if (file[at + 1] == 0xDA) return kCutShort;
  }
  return kCutShort;
}

const char* find_bmp_damage(Bytes file) {
  if (file.size() < 54) return kCutShort;
  const uint32_t header = little_endian(file.subspan(14));
  const uint32_t compression = little_endian(file.subspan(30));
  const bool plain_rows = header >= 40 && (compression == 0 || compression == 3);
  if (!plain_rows) return nullptr;  // the OS/2 form or a compression stb_image refuses
  const uint64_t pixels_at = little_endian(file.subspan(10));
  const uint64_t width = std::llabs(static_cast<int32_t>(little_endian(file.subspan(18))));
  const uint64_t height = std::llabs(static_cast<int32_t>(little_endian(file.subspan(22))));
  const uint64_t bits = file[28] | uint64_t{file[29]} << 8;
  return pixels_at + (width * bits + 31) / 32 * 4 * height > file.size() ? kCutShort : nullptr;
}

const char* find_pnm_damage(Bytes file) {
  size_t at = 2;
  uint64_t fields[3] = {};  // width, height, largest value
  for (uint64_t& field : fields) {
    while (at < file.size() && (std::isspace(file[at]) || file[at] == '#')) {
      if (file[at] == '#')
        while (at < file.size() && file[at] != '\n') ++at;
      else
        ++at;
    }
    for (; at < file.size() && std::isdigit(file[at]) && field < (1u << 30); ++at)
      field = 10 * field + (file[at] - '0');
  }
  const uint64_t bytes = fields[0] * fields[1] * (file[1] == '6' ? 3 : 1) * (fields[2] > 255 ? 2 : 1);
  return at + 1 + bytes > file.size() ? kCutShort : nullptr;
}

}  // namespace

const char* find_damage(Bytes file) {
  if (starts_with(file, "\x89PNG\r\n\x1a\n")) return find_png_damage(file);
  if (starts_with(file, "\xff\xd8")) return find_jpeg_damage(file);
  if (starts_with(file, "BM")) return find_bmp_damage(file);
  if (starts_with(file, "P5") || starts_with(file, "P6")) return find_pnm_damage(file);
  return nullptr;
}

}  // namespace visage::media
