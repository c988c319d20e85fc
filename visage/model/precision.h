#pragma once
#include "tensor/device.h"
#include "tensor/dtype.h"

namespace visage {

/// Arithmetic of the network's products. bf16: convolutions and linear maps round their factors and add up in f32.
enum class Precision { f32, bf16 };

/// The type the products compute in on `device`. throws UsageError if a CPU would have to emulate it.
[[nodiscard]] DType product_dtype(Precision precision, Device device = {});

}  // namespace visage
