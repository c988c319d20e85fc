#include "tests/support/devices.h"

#include "tensor/transfer.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace visage::test {

void for_each_device(const std::function<void(Device)>& test) {
  {
    const testing::ScopedTrace trace(__FILE__, __LINE__, "device cpu");
    test(Device{});
  }
  if (cuda_device_count() > 0) {
    const testing::ScopedTrace trace(__FILE__, __LINE__, "device cuda");
    testing::Test::RecordProperty("cuda", "run");
    return test({DeviceType::cuda, 0});
  }
  testing::Test::RecordProperty("cuda", "skipped");
  static const bool told = std::printf("[   NOTE   ] no GPU: the tests of this program ran on the CPU only\n") > 0;
  static_cast<void>(told);
}

Tensor on(const Tensor& tensor, Device device) { return to_device(tensor, device); }

}  // namespace visage::test
