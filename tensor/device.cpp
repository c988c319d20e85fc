#include "tensor/device.h"

#include "tensor/error.h"
#include "tensor/log.h"

#include <charconv>
#include <string>

#ifdef VISAGE_CUDA
#include "tensor/cuda/device.h"
#endif

namespace visage {
namespace {

std::string why_no_cuda() {
#ifdef VISAGE_CUDA
  return std::string("no usable GPU (").append(cuda::why_no_device()).append(")");
#else
  return "this build has no CUDA backend (it was configured without a CUDA toolkit)";
#endif
}

}  // namespace

int cuda_device_count() {
#ifdef VISAGE_CUDA
  return cuda::device_count();
#else
  return 0;
#endif
}

Device parse_device(std::string_view name) {
  if (name == "cpu") return {};
  if (name == "auto") {
    if (cuda_device_count() > 0) {
      log::info("device: cuda:0");
      return {DeviceType::cuda, 0};
    }
    log::info("device: cpu; ", why_no_cuda());
    return {};
  }
  int index = 0;
  bool known = name == "cuda";
  if (name.starts_with("cuda:")) {
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + std::string_view("cuda:").size(), end, index);
    known = error == std::errc() && stop == end && index >= 0;
  }
  check<UsageError>(known, "device: unknown name \"", name, "\"; use auto, cpu, cuda or cuda:N");
  const int count = cuda_device_count();
  check<UsageError>(count > 0, "device ", name, ": ", why_no_cuda(), "; use device cpu");
  check<UsageError>(index < count, "device ", name, ": the machine has ", count, " GPU(s), numbered from 0");
  return {DeviceType::cuda, index};
}

void use_device([[maybe_unused]] Device device) {
#ifdef VISAGE_CUDA
  if (device.type == DeviceType::cuda) cuda::set_device(device.index);
#endif
}

Device use_device(std::string_view name) {
  const Device device = parse_device(name);
  use_device(device);
  return device;
}

}  // namespace visage
