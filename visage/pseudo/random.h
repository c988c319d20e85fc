#pragma once
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace visage::pseudo {

/// Random numbers that are the same everywhere: the engine is fixed by the C++ standard, its distributions are not.
class Random {
 public:
  /// Independent sequences for different (seed, stream).
  Random(uint64_t seed, uint64_t stream) : engine_(mix(seed + mix(stream))) {}

  /// In [0, 1).
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// In [low, high].
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(uniform() * static_cast<double>(high - low + 1));
  }
  /// Uniform over all permutations of 0..count-1 (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t count) {
    std::vector<int64_t> order(count);
    for (int64_t i = 0; i < count; ++i) order[i] = i;
    for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[integer(0, i)]);
    return order;
  }
  uint64_t bits() { return engine_(); }

 private:
  // SplitMix64's finaliser: neighbouring seeds give unrelated engines.
  static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

  std::mt19937_64 engine_;
};

}  // namespace visage::pseudo
