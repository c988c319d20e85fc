#pragma once
#include <cstdint>
#include <cstring>

namespace visage::ops {

/// Bit i of the result is compare(x[i]), for i < count <= 64. The comparisons are vectorised into bytes; eight of them
/// are gathered by one multiplication, whose top byte has bit i from byte i.
template <class Compare>
std::uint64_t pack_bits(const float* x, std::int64_t count, Compare&& compare) {
  std::uint8_t flags[64] = {};
  if (count == 64)
    for (std::int64_t i = 0; i < 64; ++i) flags[i] = compare(x[i]);
  else
    for (std::int64_t i = 0; i < count; ++i) flags[i] = compare(x[i]);
  std::uint64_t word = 0;
  for (int group = 0; group < 8; ++group) {
    std::uint64_t bytes;
    std::memcpy(&bytes, flags + 8 * group, 8);
    word |= ((bytes * 0x0102040810204080ull) >> 56) << (8 * group);
  }
  return word;
}

}  // namespace visage::ops
