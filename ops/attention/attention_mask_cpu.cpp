#include "ops/attention/attention_mask_kernels.h"
#include "ops/attention/sigmoid_threshold.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>

namespace visage::ops {
namespace {

// Bits of 64 comparisons. The bytes of eight comparisons are gathered by one multiplication: byte i holds 0 or 1, and
// the product's top byte has bit i from byte i.
template <class Compare>
std::uint64_t word_of(const float* x, std::int64_t count, Compare&& compare) {
  std::uint8_t flags[64] = {};
  for (std::int64_t i = 0; i < count; ++i) flags[i] = compare(x[i]);
  std::uint64_t word = 0;
  for (int group = 0; group < 8; ++group) {
    std::uint64_t bytes;
    __builtin_memcpy(&bytes, flags + 8 * group, 8);
    word |= ((bytes * 0x0102040810204080ull) >> 56) << (8 * group);
  }
  return word;
}

template <class Compare>
void bits(const MaskBitsArgs& args, Compare compare) {
  const std::int64_t queries = args.logits.size[1], keys = args.logits.size[2], words = args.bits.size[2];
  cpu::parallel_for(args.logits.size[0] * queries, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* x =
          args.logits.as<float>() + row / queries * args.logits.stride[0] + row % queries * args.logits.stride[1];
      std::uint64_t* to = args.bits.as<std::uint64_t>() + row * words;
      for (std::int64_t w = 0; w < words; ++w) {
        const std::int64_t left = keys - w * 64;
        to[w] = left >= 64 ? word_of(x + w * 64, 64, compare) : word_of(x + w * 64, left, compare);
      }
    }
  });
}

}  // namespace

void blocked_cpu(const View& logits, const View& blocked) {
  const std::int64_t count = logits.size.numel();
  cpu::parallel_for(count, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      blocked.as<std::uint8_t>()[i] = logits.as<float>()[i] <= kGreatestBelowHalf;
  });
}

void mask_bits_cpu(const MaskBitsArgs& args) {
  if (args.foreground)
    bits(args, [](float x) { return x >= kLeastAboveHalf; });
  else
    bits(args, [](float x) { return !(x <= kGreatestBelowHalf); });
}

}  // namespace visage::ops
