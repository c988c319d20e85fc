#include "visage/media/image_file.h"

#include "tensor/error.h"
#include "visage/media/image_integrity.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#define STBI_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace visage::media {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes read_bytes(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  check<InputError>(!error, "cannot read image ", path, ": ", error.message());
  check<InputError>(size > 0, "cannot read image ", path, ": the file is empty; remove or replace it");
  check<InputError>(size <= (uintmax_t{1} << 31) - 1, "cannot read image ", path, ": ", size,
                    " bytes; image files up to 2 GiB are read");
  Bytes bytes(size);
  std::ifstream file(path, std::ios::binary);
  check<InputError>(file && file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)),
                    "cannot read image ", path, ": ", std::strerror(errno));
  return bytes;
}

Size header_size(const std::string& path, const Bytes& bytes) {
  Size size;
  int channels = 0;
  check<InputError>(
      stbi_info_from_memory(bytes.data(), static_cast<int>(bytes.size()), &size.width, &size.height, &channels) != 0,
      "cannot read image ", path, ": not a PNG, JPEG, BMP or PNM image; remove or replace it");
  check<InputError>(size.width > 0 && size.height > 0, "cannot read image ", path, ": the image is empty (", size.width,
                    "x", size.height, ")");
  check<InputError>(int64_t{size.width} * size.height <= kMaxPixels, "cannot read image ", path, ": ", size.width, "x",
                    size.height, " is more than ", kMaxPixels, " pixels; shrink it");
  return size;
}

}  // namespace

bool has_image_extension(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension.empty()) return false;
  const std::string list = std::string(kImageExtensions) + ' ';
  return list.find(extension + ' ') != std::string::npos;
}

Size read_image_size(const std::string& path) { return header_size(path, read_bytes(path)); }

Image read_image(const std::string& path) {
  const Bytes bytes = read_bytes(path);
  const Size size = header_size(path, bytes);
  const char* damage = find_damage(bytes);
  check<InputError>(!damage, "cannot read image ", path, ": ", damage ? damage : "", "; copy or export it again");
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, STBI_rgb),
      stbi_image_free);
  check<InputError>(pixels != nullptr, "cannot read image ", path, ": damaged (", stbi_failure_reason(),
                    "); copy or export it again");
  check<InputError>(Size{width, height} == size, "cannot read image ", path, ": the header contradicts the data");
  Image image(size);
  std::memcpy(image.rgb.data(), pixels.get(), image.rgb.size());
  return image;
}

}  // namespace visage::media
