#pragma once
#include "tensor/dtype.h"

namespace visage {

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

}  // namespace visage
