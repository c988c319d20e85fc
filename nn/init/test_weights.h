#pragma once
#include "nn/param_store.h"
#include "ops/random/splitmix.h"
#include "ops/random/uniform.h"

#include <cstdint>
#include <string_view>

namespace visage::nn {

/// Numbers anybody can compute again: a hash of a name and an index, the same on every machine. FNV-1a of the name is
/// where the stream of ops::uniform_at (ops/random/splitmix.h) starts.
class HashStream {
 public:
  explicit HashStream(std::string_view name);
  /// In [0, 1).
  float uniform(std::int64_t index) const { return ops::uniform_at(start_, index); }
  /// In [-1, 1).
  float symmetric(std::int64_t index) const { return 2.f * uniform(index) - 1.f; }
  /// The numbers uniform(first), uniform(first + 1), ... as a tensor, computed where it is.
  Tensor uniform(const Dims& size, Device device = {}, std::int64_t first = 0) const {
    return ops::uniform(ops::stream_after(start_, first), size, device);
  }

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
