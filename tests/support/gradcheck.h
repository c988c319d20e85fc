#pragma once
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace visage::test {

struct GradcheckOptions {
  /// Indices of the inputs to differentiate by; empty: every f32 input.
  std::vector<std::size_t> with_respect_to;
  /// Distance of the stencil's points. The inputs should be of order one and away from kinks by twice this distance.
  double step = 0.02;
  /// Allowed error, relative to the gradient's largest element (element-wise) or norm (directional).
  double tolerance = 5e-4;
  /// Inputs of up to this many elements are checked element by element, larger ones along random directions.
  std::int64_t element_limit = 200;
  int directions = 4;
  std::uint64_t seed = 1;
};

/// Checks the gradients that `fn` records against central differences of sum(up * fn(inputs)) with a fixed random `up`:
///   f'(x) = (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h     error O(h^4), sums in f64.
/// Also checks that any single input may be the only one with a gradient, that a second backward adds, and that it
/// overwrites after zero_grad. The inputs must be contiguous.
testing::AssertionResult gradcheck(const std::function<Tensor(std::span<const Tensor>)>& fn,
                                   const std::vector<Tensor>& inputs, const GradcheckOptions& options = {});

/// Runs fn on copies of the inputs that require gradients where `wanted`, sends `up` back through it, and returns the
/// gradients (empty where not wanted or not written).
std::vector<Tensor> gradients(const std::function<Tensor(std::span<const Tensor>)>& fn,
                              const std::vector<Tensor>& inputs, const std::vector<bool>& wanted, const Tensor& up);

}  // namespace visage::test
