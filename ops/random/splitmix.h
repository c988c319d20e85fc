#pragma once
#include <cstdint>

namespace visage::ops {

inline constexpr std::uint64_t kStreamStep = 0x9E3779B97F4A7C15u;

/// Where the stream that begins at `start` goes on after `count` numbers: a stream of its own.
constexpr std::uint64_t stream_after(std::uint64_t start, std::int64_t count) {
  return start + static_cast<std::uint64_t>(count) * kStreamStep;
}

/// Number `index` of the stream that begins at `start`, in [0, 1): SplitMix64 (Steele et al., "Fast splittable
/// pseudorandom number generators", 2014), whose upper 24 bits make an exact f32.
constexpr float uniform_at(std::uint64_t start, std::int64_t index) {
  std::uint64_t z = start + (static_cast<std::uint64_t>(index) + 1) * kStreamStep;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<float>(z >> 40) * 0x1p-24f;
}

}  // namespace visage::ops
