#include "tests/support/devices.h"

#include <gtest/gtest.h>

namespace visage::test {

void for_each_device(const std::function<void(Device)>& test) {
  {
    const testing::ScopedTrace trace(__FILE__, __LINE__, "device cpu");
    test(Device{});
  }
  testing::Test::RecordProperty("cuda", "skipped");
}

Tensor on(const Tensor& tensor, Device device) {
  check<DeviceError>(tensor.device() == device, "tests: no device but the CPU in this build");
  return tensor;
}

}  // namespace visage::test
