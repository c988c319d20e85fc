#include "tensor/cuda/error.h"

#include "tensor/error.h"
#include "tensor/log.h"

namespace visage::cuda {

void check(cudaError_t status, const char* what, std::source_location at) {
  if (status == cudaSuccess) [[likely]]
    return;
  // Also clears the runtime's memory of the error; one that is not sticky must not fail the next, innocent call.
  cudaGetLastError();
  fail<CudaError>({what, at}, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
}

void warn(cudaError_t status, const char* what) noexcept {
  // Nothing is worth reporting while the process ends and the driver is already gone.
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;
  log::warn(what, ": ", cudaGetErrorName(status), ", ", cudaGetErrorString(status));
}

}  // namespace visage::cuda
