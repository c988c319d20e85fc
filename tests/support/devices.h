#pragma once
#include "tensor/tensor.h"

#include <functional>

namespace visage::test {

/// Runs `test` on the CPU and, in a build with the CUDA backend, on the first GPU. Without a usable GPU the second run
/// is printed and recorded as the test property `cuda=skipped`, so that an untested kernel is never silently green.
void for_each_device(const std::function<void(Device)>& test);

/// Contiguous copy of `tensor` on `device`, without gradient history; `tensor` itself if it is already there.
Tensor on(const Tensor& tensor, Device device);

}  // namespace visage::test
