#pragma once
#include <cstdint>
#include <initializer_list>

namespace visage::train {

/// Random numbers as a function of a key: draw i of key k is SplitMix64 (Steele et al. 2014) of k + i. Whoever has the
/// key gets the same numbers, in any thread and after any restart; there is no state to save.
class CounterRandom {
 public:
  /// For instance {seed, step, sample, purpose}; different keys give unrelated sequences.
  explicit CounterRandom(std::initializer_list<uint64_t> key) {
    for (const uint64_t part : key) key_ = mix(key_ ^ part);
  }

  uint64_t bits() { return mix(key_ + ++count_ * kStep); }
  /// In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// In [low, high].
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(uniform() * static_cast<double>(high - low + 1));
  }
  bool chance(double probability) { return uniform() < probability; }

  static uint64_t mix(uint64_t x) {
    x += kStep;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;
  uint64_t key_ = 0, count_ = 0;
};

/// Where `index` goes in the permutation of 0 .. count-1 that `key` names: a Feistel network over the next power of
/// four, walked until it lands below `count`, so that position i of a shuffled epoch costs no list of the epoch.
[[nodiscard]] inline int64_t permuted(int64_t index, int64_t count, uint64_t key) {
  int half = 1;
  while (int64_t{1} << 2 * half < count) ++half;
  const uint64_t low = (uint64_t{1} << half) - 1;
  auto at = static_cast<uint64_t>(index);
  do {
    uint64_t left = at >> half, right = at & low;
    for (uint64_t round = 0; round < 6; ++round) {
      const uint64_t next = left ^ (CounterRandom::mix(key ^ CounterRandom::mix(right + (round << 48))) & low);
      left = right;
      right = next;
    }
    at = left << half | right;
  } while (at >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(at);
}

}  // namespace visage::train
