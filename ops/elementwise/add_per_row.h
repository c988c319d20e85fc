#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Adds shift[r] to every element of row r of x, in place. x [..., L] f32 contiguous, shift f32 contiguous with one
/// element a row (the product of all axes of x but the last). No gradient.
/// throws ShapeError, DTypeError or DeviceError; AutogradError if a gradient is wanted.
void add_per_row(const Tensor& x, const Tensor& shift);

}  // namespace visage::ops
