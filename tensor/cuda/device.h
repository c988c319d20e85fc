#pragma once
#include <string>

namespace visage::cuda {

/// GPUs this process can use; 0 without a driver. Never throws.
int device_count() noexcept;

/// Why device_count() is 0, in the driver's words; empty when there is a device.
std::string why_no_device();

/// Makes `index` the device of this thread. throws CudaError if there is no such device.
void set_device(int index);
int current_device();

/// Sets the thread's device for a scope.
class DeviceScope {
 public:
  explicit DeviceScope(int index);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int previous_;
};

}  // namespace visage::cuda
