#pragma once
#include "tensor/tensor.h"

#include <cstdint>
#include <span>
#include <vector>

namespace visage::test {

/// Every element in row-major order of the logical shape, whatever the strides, element type and device.
std::vector<double> values_of(const Tensor& tensor);

/// Contiguous CPU tensor of `dtype` holding `values` (row-major), rounded to the type.
Tensor tensor_of(const Dims& size, std::span<const double> values, DType dtype = DType::f32);

/// Reproducible normal numbers with the given mean and deviation, the same on every machine.
Tensor random_normal(const Dims& size, std::uint64_t seed, DType dtype = DType::f32, double mean = 0,
                     double deviation = 1);

/// The elements of `x` in another element type, contiguous, on the same device, without gradient history.
Tensor converted(const Tensor& x, DType dtype);

}  // namespace visage::test
