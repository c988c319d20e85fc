#pragma once
#include "tensor/tensor.h"

#include <cstdint>

namespace visage::ops {

/// Uniform numbers in [0, 1), f32: element i is uniform_at(start, i) (ops/random/splitmix.h), the same on every device
/// and for any number of threads. nn::HashStream names streams.
[[nodiscard]] Tensor uniform(std::uint64_t start, const Dims& size, Device device = {});

}  // namespace visage::ops
