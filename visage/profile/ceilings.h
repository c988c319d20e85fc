#pragma once
#include "tensor/device.h"

namespace visage::profile {

/// Bytes a second that a copy of 256 MiB, more than a cache holds, reads and writes; the best of five.
[[nodiscard]] double copy_bandwidth(Device device);

/// Floating-point operations a second of the product of two large squares of random numbers, rounded to `products`; the
/// best of five. Zeros would look faster, since they switch fewer bits and leave more power.
[[nodiscard]] double product_rate(Device device, DType products);

/// What a machine reaches at most, measured: the yardsticks of a profile.
struct Ceilings {
  double copy_bandwidth = 0;  // bytes a second that a copy of a large array reads and writes
  double product_rate = 0;    // floating-point operations a second of one large matrix product
  DType products = DType::f32;
};

/// Measures both; a second of work on a CPU.
[[nodiscard]] Ceilings measure_ceilings(Device device, DType products);

}  // namespace visage::profile
