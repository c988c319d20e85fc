#include "ops/attention/attention_mask_kernels.h"
#include "ops/attention/sigmoid_threshold.h"
#include "ops/simd/pack_bits.h"
#include "tensor/cpu/parallel.h"

#include <algorithm>

namespace visage::ops {
namespace {

template <class Compare>
void bits(const MaskBitsArgs& args, Compare compare) {
  const std::int64_t queries = args.logits.size[1], keys = args.logits.size[2], words = args.bits.size[2];
  cpu::parallel_for(args.logits.size[0] * queries, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* x =
          args.logits.as<float>() + row / queries * args.logits.stride[0] + row % queries * args.logits.stride[1];
      std::uint64_t* to = args.bits.as<std::uint64_t>() + row * words;
      for (std::int64_t w = 0; w < words; ++w) {
        to[w] = pack_bits(x + w * 64, std::min<std::int64_t>(64, keys - w * 64), compare);
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
