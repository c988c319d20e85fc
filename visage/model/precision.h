#pragma once
#include "tensor/device.h"
#include "tensor/dtype.h"

#include <cstdint>

namespace visage {

/// Arithmetic of the network's products, which always add up in f32. tf32, on a GPU: their f32 factors are rounded to
/// 10 bits of mantissa. bf16: convolutions and linear maps round their factors to bf16.
enum class Precision : std::uint8_t { f32, tf32, bf16 };

[[nodiscard]] const char* name_of(Precision precision);

/// Makes the products of this process compute so on `device` and returns the type of their factors. throws UsageError
/// if the device cannot, or would have to emulate it.
DType set_precision(Precision precision, Device device = {});

}  // namespace visage
