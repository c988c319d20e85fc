#include "visage/media/png.h"

#include "tensor/error.h"
#include "tensor/files.h"

#include <png.h>

#include <csetjmp>
#include <vector>

namespace visage::media {
namespace {

struct PngLayout {
  Size size;
  int bit_depth = 8;
  int color_type = PNG_COLOR_TYPE_RGB;
};

void append(png_structp png, png_bytep data, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
}

// libpng leaves by longjmp, which runs no destructors: everything that owns memory lives in the caller.
bool encode_into(std::string& bytes, png_structp png, png_infop info, const PngLayout& layout, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_write_fn(png, &bytes, append, nullptr);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_compression_level(png, 3);  // of 9: half the time of the default for a tenth more bytes
  png_set_IHDR(png, info, static_cast<png_uint_32>(layout.size.width), static_cast<png_uint_32>(layout.size.height),
               layout.bit_depth, layout.color_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (layout.bit_depth == 16) png_set_swap(png);  // rows are little-endian, the file is big-endian
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

std::string encode(const PngLayout& layout, const uint8_t* pixels, int64_t stride) {
  check<InputError>(layout.size.width >= 1 && layout.size.height >= 1, "encoding a PNG failed: the image is empty");
  std::vector<png_bytep> rows(layout.size.height);
  for (int y = 0; y < layout.size.height; ++y) rows[y] = const_cast<png_bytep>(pixels + y * stride);
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, [](png_structp, const char*) {});
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  std::string bytes;
  const bool encoded = info && encode_into(bytes, png, info, layout, rows.data());
  png_destroy_write_struct(&png, &info);
  check<InputError>(encoded, "encoding a PNG failed: libpng refuses an image of ", layout.size.width, "x",
                    layout.size.height);
  return bytes;
}

}  // namespace

std::string encode_png(const Image& image) {
  return encode({.size = image.size()}, image.rgb.data(), int64_t{3} * image.width);
}

std::string encode_id_map(std::span<const uint16_t> ids, Size size) {
  check<UsageError>(static_cast<int64_t>(ids.size()) == int64_t{size.width} * size.height,
                    "encode_id_map: one id a pixel is needed; got ", ids.size(), " for ", size.width, "x", size.height);
  const PngLayout layout{.size = size, .bit_depth = 16, .color_type = PNG_COLOR_TYPE_GRAY};
  return encode(layout, reinterpret_cast<const uint8_t*>(ids.data()), int64_t{2} * size.width);
}

void write_png(const std::string& path, const Image& image) {
  check<InputError>(image.width >= 1 && image.height >= 1, "cannot write ", path, ": the image is empty");
  files::AtomicFile file(path);
  file.write(encode_png(image));
  file.commit();
}

}  // namespace visage::media
