#include "tests/support/devices.h"

#include <gtest/gtest.h>

#include <cstdio>

#ifdef VISAGE_CUDA
#include "tensor/cuda/copy.h"
#endif

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

Tensor on(const Tensor& tensor, Device device) {
  if (tensor.device() == device) return tensor;
#ifdef VISAGE_CUDA
  return cuda::copy_to(tensor, device);
#else
  fail<DeviceError>("tests: this build has no device but the CPU");
#endif
}

}  // namespace visage::test
