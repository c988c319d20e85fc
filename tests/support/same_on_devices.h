#pragma once
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace visage::test {

struct SameOnDevicesOptions {
  /// Allowed differences, relative to the largest magnitude of the CPU's result.
  double output_tolerance = 1e-5;
  double gradient_tolerance = 2e-5;
  /// Indices of the inputs to differentiate by. None: only the outputs are compared.
  std::vector<std::size_t> gradients_of = {};
  std::uint64_t seed = 1;  // of the gradients that are sent back
};

using TensorFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

/// Runs `fn` on the CPU and, where there is one, on the GPU with the same inputs, and compares every output; then the
/// gradients of the inputs named in the options, for a fixed random gradient of the first output, twice in a row
/// so that accumulation is compared too. Integer and bool outputs must be equal.
/// Inputs are given on the CPU; empty ones stay empty. Where there is no GPU, the test records that as for_each_device
/// does. Whether the CPU is right is for other tests.
testing::AssertionResult same_on_devices(const TensorFunction& fn, const std::vector<Tensor>& inputs,
                                         const SameOnDevicesOptions& options = {});

}  // namespace visage::test
