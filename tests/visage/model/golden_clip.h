#pragma once
#include "tests/support/golden.h"

#include <string>

namespace visage::test {

/// Name of the golden set's hash stream ("Seed of this set" of its README).
std::string golden_seed();

/// The frames of a clip folder of the golden set, normalised and padded: [T, H, W, 3].
Tensor clip_images(const std::string& clip);

/// Equality of 0/1 tensors, with about one element in a million allowed to differ.
testing::AssertionResult bits_match(const GoldenTensor& want, const Tensor& got);

}  // namespace visage::test
