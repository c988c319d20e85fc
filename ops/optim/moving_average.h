#pragma once
#include "tensor/tensor.h"

#include <span>

namespace visage::ops {

/// average += (1 - decay) * (value - average), in place on every pair of tensors: the exponential moving average of
/// weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, Mean teachers, eq. 1). All f32, contiguous and pairwise
/// of one size. Element-wise, so the result does not depend on the number of threads. throws ShapeError, DTypeError or
/// DeviceError naming the position in the list; UsageError if decay is not in [0, 1].
void moving_average(std::span<const Tensor> averages, std::span<const Tensor> values, double decay);

}  // namespace visage::ops
