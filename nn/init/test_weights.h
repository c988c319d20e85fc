#pragma once
#include "nn/param_store.h"

#include <cstdint>
#include <string_view>

namespace visage::nn {

/// Numbers anybody can compute again: a hash of a name and an index, the same on every machine.
/// FNV-1a of the name, then SplitMix64 at position `index` (Steele et al., "Fast splittable pseudorandom number
/// generators", 2014); the upper 24 bits make an exact float32.
class HashStream {
 public:
  explicit HashStream(std::string_view name);
  /// In [0, 1).
  float uniform(std::int64_t index) const;
  /// In [-1, 1).
  float symmetric(std::int64_t index) const { return 2.f * uniform(index) - 1.f; }

 private:
  std::uint64_t start_;
};

/// Element `index` of the stream `name`, in [-1, 1).
inline float hash_stream(std::string_view name, std::int64_t index) { return HashStream(name).symmetric(index); }

/// Fills every entry from the stream "<seed>/<entry name>", scaled by what the entry is so that activations stay near
/// one. Index order is that of the checkpoint file (row-major, convolutions [O, I, kH, kW]), so the values do not
/// depend on our memory layout. These weights detect nothing; they make two implementations comparable.
/// Bumps the version of every storage.
void fill_test_weights(ParamStore& store, std::string_view seed);

}  // namespace visage::nn
