#include "tensor/cuda/device.h"

#include "tensor/cuda/error.h"

namespace visage::cuda {
namespace {

struct Probe {
  int count = 0;
  cudaError_t status = cudaSuccess;
};

const Probe& probe() {
  static const Probe result = [] {
    Probe found;
    found.status = cudaGetDeviceCount(&found.count);
    if (found.status != cudaSuccess) {
      found.count = 0;
      cudaGetLastError();
    }
    return found;
  }();
  return result;
}

}  // namespace

int device_count() noexcept { return probe().count; }

std::string why_no_device() {
  if (device_count() > 0) return "";
  if (probe().status == cudaSuccess) return "the driver reports no device";
  return std::string(cudaGetErrorName(probe().status)) + ", " + cudaGetErrorString(probe().status);
}

void set_device(int index) { check(cudaSetDevice(index), "cudaSetDevice"); }

int current_device() {
  int index = 0;
  check(cudaGetDevice(&index), "cudaGetDevice");
  return index;
}

DeviceScope::DeviceScope(int index) : previous_(current_device()) {
  if (index != previous_) set_device(index);
}

DeviceScope::~DeviceScope() { warn(cudaSetDevice(previous_), "cudaSetDevice"); }

}  // namespace visage::cuda
