#pragma once
#include "tensor/dtype.h"

#include <string_view>

namespace visage {

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

/// GPUs that this build and this machine can use; 0 without the backend, a driver or a device.
int cuda_device_count();

/// The device a user named: `cpu`, `cuda`, `cuda:1`, or `auto`, the first GPU if there is one and the CPU otherwise
/// (said in one line of the log). throws UsageError for another name, and for cuda where it cannot be used, with the
/// reason.
Device parse_device(std::string_view name);

/// A GPU becomes the one this thread works on.
void use_device(Device device);
/// The same for parse_device(name), which it returns.
Device use_device(std::string_view name);

}  // namespace visage
