#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <span>

namespace visage::ops {

/// Uniform numbers in [0, 1), f32: the first axis is cut into as many equal parts as there are `starts`, and element i
/// of part k is uniform_at(starts[k], i) (ops/random/splitmix.h); the same on every device and for any number of
/// threads. nn::HashStream names streams. throws ShapeError if the first axis cannot be cut so.
[[nodiscard]] Tensor uniform(std::span<const std::uint64_t> starts, const Dims& size, Device device = {});

}  // namespace visage::ops
