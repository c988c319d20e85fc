#pragma once
#include "tensor/tensor.h"

#include <cstddef>
#include <optional>
#include <span>

namespace visage::ops {

/// sqrt of the sum of squares of all elements of all tensors (f32, contiguous), summed in f64 in an order that does not
/// depend on the number of threads. f64 does not overflow on squares of f32, so the norm is finite exactly if every
/// element is. Empty tensors stand for parameters without a gradient and are skipped.
/// Waits for the device. throws DTypeError, ShapeError or DeviceError naming the position in the list.
[[nodiscard]] double global_norm(std::span<const Tensor> tensors);

/// Factor that bounds the global norm of the gradients (Pascanu et al., On the difficulty of training recurrent neural
/// networks, algorithm 1): min(1, max_norm / (norm + 1e-6)).
[[nodiscard]] double clip_coefficient(double norm, double max_norm);

/// The global norm and the factor that bounds it by max_norm, f64 [2], left on the device of the gradients: adamw_step
/// takes it from there, so nobody has to wait. The factor is NaN if the norm is not finite. Otherwise as global_norm.
[[nodiscard]] Tensor gradient_clip(std::span<const Tensor> gradients, double max_norm);

/// throws ShapeError, DTypeError or DeviceError unless `clip` is what gradient_clip gives on `device`.
void check_gradient_clip(const char* op, const Tensor& clip, Device device);

/// Position of the first tensor that holds an infinity or something that is not a number. Waits for the device once a
/// tensor.
[[nodiscard]] std::optional<std::size_t> first_non_finite(std::span<const Tensor> tensors);

}  // namespace visage::ops
