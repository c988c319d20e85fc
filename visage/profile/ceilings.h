#pragma once
#include "tensor/device.h"

namespace visage::profile {

/// What a machine reaches at most, measured: the yardsticks of a profile.
struct Ceilings {
  double copy_bandwidth = 0;  // bytes a second that a copy of a large array reads and writes
  double product_rate = 0;    // floating-point operations a second of one large matrix product
  DType products = DType::f32;
};

/// Measures both, the best of five; a second of work on a CPU. `products`: the type the factors are rounded to.
[[nodiscard]] Ceilings measure_ceilings(Device device, DType products);

}  // namespace visage::profile
