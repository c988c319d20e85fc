#pragma once
// Included by kernel files: no heavy standard headers here.
#include <cuda_runtime_api.h>

#include <source_location>

namespace visage::cuda {

/// Throws CudaError "`what`: cudaErrorName, description" with the caller's location unless status is cudaSuccess.
///   check(cudaMalloc(&data, bytes), "cudaMalloc");
void check(cudaError_t status, const char* what, std::source_location at = std::source_location::current());

/// For destructors, which must not throw: logs the failure instead.
void warn(cudaError_t status, const char* what) noexcept;

}  // namespace visage::cuda
