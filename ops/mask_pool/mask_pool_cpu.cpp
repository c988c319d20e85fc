#include "ops/mask_pool/mask_pool_kernels.h"
#include "ops/simd/vec8.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <bit>
#include <vector>

namespace visage::ops {
namespace {

constexpr int kVecs = 8;               // accumulators in registers
constexpr int kBlock = kVec8 * kVecs;  // channels summed together
constexpr int kTile = 64;              // pixels of one mask word; with kBlock channels a quarter of the L1 cache

// Pixels [first, first + kTile) and channels [channel, channel + kBlock) as f32, without the gaps of the source.
template <class T>
void load_tile(const View& x, std::int64_t n, std::int64_t first, std::int64_t channel, float* tile) {
  const std::int64_t pixels = std::min<std::int64_t>(kTile, x.size[1] - first);
  const std::int64_t channels = std::min<std::int64_t>(kBlock, x.size[2] - channel);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const T* from = x.as<T>() + n * x.stride[0] + (first + p) * x.stride[1] + channel;
    for (std::int64_t c = 0; c < channels; ++c) tile[p * kBlock + c] = static_cast<float>(from[c]);
  }
}

// sum += the tile's rows whose bit is set.
void add_rows(const Vec8* tile, std::uint64_t word, Vec8* sum) {
  Vec8 total[kVecs];
  for (int v = 0; v < kVecs; ++v) total[v] = sum[v];
  for (; word; word &= word - 1) {
    const Vec8* row = tile + std::countr_zero(word) * kVecs;
    for (int v = 0; v < kVecs; ++v) total[v] += row[v];
  }
  for (int v = 0; v < kVecs; ++v) sum[v] = total[v];
}

void pool_block(const MaskPoolArgs& args, std::int64_t n, std::int64_t channel) {
  const std::int64_t queries = args.bits.size[1], words = args.bits.size[2], channels = args.features.size[2];
  std::vector<Vec8> tile(kTile * kVecs, Vec8{}), sum(queries * kVecs, Vec8{});
  const std::uint64_t* bits = args.bits.as<std::uint64_t>() + n * queries * words;
  for (std::int64_t w = 0; w < words; ++w) {
    float* to = reinterpret_cast<float*>(tile.data());
    if (args.features.dtype == DType::f32)
      load_tile<float>(args.features, n, w * kTile, channel, to);
    else
      load_tile<BFloat16>(args.features, n, w * kTile, channel, to);
    for (std::int64_t q = 0; q < queries; ++q) add_rows(tile.data(), bits[q * words + w], sum.data() + q * kVecs);
  }
  for (std::int64_t q = 0; q < queries; ++q) {
    const auto count = static_cast<float>(args.counts.as<std::int64_t>()[n * queries + q]);
    const float* from = reinterpret_cast<const float*>(sum.data() + q * kVecs);
    for (std::int64_t c = channel; c < std::min(channel + kBlock, channels); ++c) {
      float total = from[c - channel];
      if (args.scale)
        total = args.scale.as<float>()[n * args.scale.stride[0] + c] * total +
                args.shift.as<float>()[n * args.scale.stride[0] + c] * count;
      args.pooled.as<float>()[(n * queries + q) * channels + c] = total / (count + 1e-6f);
    }
  }
}

}  // namespace

void mask_pool_cpu(const MaskPoolArgs& args) {
  const std::int64_t rows = args.bits.size[0] * args.bits.size[1], words = args.bits.size[2];
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t count = 0;
    for (std::int64_t w = 0; w < words; ++w) count += std::popcount(args.bits.as<std::uint64_t>()[row * words + w]);
    args.counts.as<std::int64_t>()[row] = count;
  }
  const std::int64_t blocks = (args.features.size[2] + kBlock - 1) / kBlock;
  cpu::parallel_for(args.features.size[0] * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) pool_block(args, i / blocks, i % blocks * kBlock);
  });
}

// gfeatures of a pixel = sum over the masks it belongs to of gpooled / (count + 1e-6). A task owns the pixels of one
// mask word, so every element has one writer and the masks are summed in their order.
void mask_pool_backward_cpu(const MaskPoolBackwardArgs& args) {
  const std::int64_t queries = args.bits.size[1], words = args.bits.size[2];
  const std::int64_t pixels = args.gfeatures.to.size[1], channels = args.gfeatures.to.size[2];
  std::vector<float> share(args.gpooled.as<float>(), args.gpooled.as<float>() + args.gpooled.size.numel());
  for (std::int64_t row = 0; row < args.bits.size[0] * queries; ++row) {
    const float factor = 1 / (static_cast<float>(args.counts.as<std::int64_t>()[row]) + 1e-6f);
    for (std::int64_t c = 0; c < channels; ++c) share[row * channels + c] *= factor;
  }
  cpu::parallel_for(args.bits.size[0] * words, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / words, w = i % words;
      float* tile = args.gfeatures.to.as<float>() + (n * pixels + w * kTile) * channels;
      if (args.gfeatures.beta == 0)
        std::fill_n(tile, std::min<std::int64_t>(kTile, pixels - w * kTile) * channels, 0.f);
      for (std::int64_t q = 0; q < queries; ++q) {
        const float* from = share.data() + (n * queries + q) * channels;
        for (auto word = args.bits.as<std::uint64_t>()[(n * queries + q) * words + w]; word; word &= word - 1) {
          float* to = tile + std::countr_zero(word) * channels;
          for (std::int64_t c = 0; c < channels; ++c) to[c] += from[c];
        }
      }
    }
  });
}

}  // namespace visage::ops
