#pragma once
// The only way kernels are launched. Kernel files include this and no other launch syntax.
#include "tensor/cuda/error.h"
#include "tensor/view.h"

#include <cuda_runtime.h>

#include <type_traits>
#include <utility>

namespace visage::cuda {

/// Size of a launch: launch<kernel>({grid, block, shared_bytes, stream}, arguments...).
struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes;  // dynamic; more than 48 KiB is asked for automatically
  StreamHandle stream;
  std::source_location at;

  LaunchShape(dim3 grid_size, dim3 block_size, std::size_t dynamic_shared_bytes, StreamHandle on_stream,
              std::source_location location = std::source_location::current())
      : grid(grid_size), block(block_size), shared_bytes(dynamic_shared_bytes), stream(on_stream), at(location) {}
};

/// Whether VISAGE_SYNC_LAUNCHES=1 is set: every launch then waits for its kernel, so that a fault is reported where it
/// belongs. For debugging.
bool synchronous_launches();

namespace detail {
template <auto Kernel>
constexpr const char* name_of_kernel() {
  return __PRETTY_FUNCTION__;
}
/// Throws CudaError with the kernel's name and the launch's size. With synchronous_launches() it waits for the stream,
/// unless that is being captured.
void after_launch(cudaError_t status, const char* pretty_function, const LaunchShape& shape);
}  // namespace detail

/// Starts `Kernel` on the stream. The arguments must fit the kernel's parameters; a wrong number does not compile.
/// throws CudaError if the launch is refused. A fault inside the kernel is reported by a later call, or by this one
/// when VISAGE_SYNC_LAUNCHES=1 is set.
template <auto Kernel, class... Arguments>
void launch(const LaunchShape& shape, Arguments&&... arguments) {
  static_assert(std::is_invocable_v<decltype(Kernel), Arguments...>, "wrong number or type of kernel arguments");
  constexpr std::size_t kSharedWithoutAsking = 48 * 1024;
  const char* const name = detail::name_of_kernel<Kernel>();
  if (shape.shared_bytes > kSharedWithoutAsking) {
    const int bytes = static_cast<int>(shape.shared_bytes);
    detail::after_launch(cudaFuncSetAttribute(Kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), name, shape);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(shape.stream.raw);
#ifdef VISAGE_SIMT
  simt::name_next_launch(name);
#endif
  detail::after_launch(cudaLaunchKernelEx(&config, Kernel, std::forward<Arguments>(arguments)...), name, shape);
}

/// Blocks needed to cover `count` items, `per_block` at a time.
constexpr unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

}  // namespace visage::cuda
