#include "tensor/error.h"
#include "visage/annotation/rle.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr int64_t kMostPixels = 1 << 16;  // bitmaps of larger masks are slow to make but no fault

void expect(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

/// Two bytes each of height and width, then a compressed string. What is accepted must survive every round trip.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace visage::annotation;
  if (size < 4) return 0;
  uint16_t height = 0, width = 0;
  std::memcpy(&height, data, 2);
  std::memcpy(&width, data + 2, 2);
  const std::string_view text(reinterpret_cast<const char*>(data) + 4, size - 4);
  try {
    const Rle rle = rle_from_string(height, width, text);
    expect(rle_from_string(height, width, to_string(rle)) == rle);
    const Overlap self = overlap(rle, rle);
    expect(self.intersection_area == area(rle) && self.union_area == area(rle));
    const Box box = bounding_box(rle);
    expect(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height);
    if (rle.height * rle.width > kMostPixels) return 0;
    expect(encode_columns(decode_columns(rle).data(), height, width) == rle);
    expect(encode_rows(decode_rows(rle).data(), height, width) == rle);
  } catch (const visage::InputError&) {
  }
  return 0;
}
