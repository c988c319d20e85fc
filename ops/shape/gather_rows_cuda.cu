// Rows by index on the GPU. The indices travel as kernel arguments, a few hundred a launch: they need no copy, no wait
// and no memory of the device. Bound by launches for the few rows of a decoder, by memory bandwidth beyond. Compiled
// for sm_80 and sm_90 and run on the host against the CPU code; not yet run or timed on a GPU.
#include "ops/gradient/gradient_kernels.h"
#include "ops/shape/gather_rows_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::gather_rows_detail {
namespace {

constexpr int kThreads = 128;
constexpr int kIndices = 448;  // of one launch: 3584 of at most 4096 bytes of arguments

struct Indices {
  std::int64_t row[kIndices];
  int count;
};

/// Mapping: a block owns a row of y, a thread every kThreads-th column. Shared memory: none.
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const float* x, std::int64_t pitch, float* y, std::int64_t columns, Indices indices) {
  const float* from = x + indices.row[blockIdx.x] * pitch;
  float* to = y + blockIdx.x * columns;
  for (std::int64_t c = threadIdx.x; c < columns; c += kThreads) to[c] = from[c];
}

/// Mapping: of the blocks whose index is the same row, the first owns the row and adds up the gradients of all, in
/// order; the others leave. Shared memory: none. No atomics.
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(const float* gy, float* gx, std::int64_t columns, Indices indices) {
  const int first = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const std::int64_t row = indices.row[first];
  bool seen = false;  // every warp looks on its own, 32 indices at a time
  for (int i = lane; i < first; i += cuda::kWarpSize) seen = seen || indices.row[i] == row;
  if (__any_sync(cuda::kAllLanes, seen)) return;
  for (std::int64_t c = threadIdx.x; c < columns; c += kThreads) {
    float sum = gx[row * columns + c];
    for (int i = first; i < indices.count; ++i)
      if (indices.row[i] == row) sum += gy[i * columns + c];
    gx[row * columns + c] = sum;
  }
}

/// Calls launch(indices, start) for as many of them at a time as fit.
template <class Launch>
void for_some(const std::int64_t* indices, std::int64_t count, Launch&& launch) {
  for (std::int64_t start = 0; start < count; start += kIndices) {
    Indices some;
    some.count = static_cast<int>(min(std::int64_t{kIndices}, count - start));
    for (int i = 0; i < some.count; ++i) some.row[i] = indices[start + i];
    launch(some, start);
  }
}

}  // namespace

void forward_cuda(const Forward& args, StreamHandle stream) {
  const std::int64_t columns = args.y.size[1];
  if (columns == 0) return;
  for_some(args.indices, args.count, [&](const Indices& some, std::int64_t start) {
    cuda::launch<gather_kernel>({static_cast<unsigned>(some.count), kThreads, 0, stream}, args.x.as<const float>(),
                                args.x.stride[0], args.y.as<float>() + start * columns, columns, some);
  });
}

void backward_cuda(const Backward& args, StreamHandle stream) {
  const std::int64_t columns = args.gy.size[1];
  if (args.gx.beta == 0) gradient_detail::clear_cuda(args.gx.to, stream);
  if (columns == 0) return;
  for_some(args.indices, args.count, [&](const Indices& some, std::int64_t start) {
    cuda::launch<scatter_kernel>({static_cast<unsigned>(some.count), kThreads, 0, stream},
                                 args.gy.as<const float>() + start * columns, args.gx.to.as<float>(), columns, some);
  });
}

}  // namespace visage::ops::gather_rows_detail
