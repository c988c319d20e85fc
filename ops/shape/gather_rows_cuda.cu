// Rows by index on the GPU, the indices in its memory. Bound by launches for the few rows of a decoder, by memory
// bandwidth for masks. Compiled for sm_80 and sm_90 and run on the host against the CPU code; not yet run or timed on a
// GPU.
#include "ops/gradient/gradient_kernels.h"
#include "ops/shape/gather_rows_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops::gather_rows_detail {
namespace {

constexpr int kThreads = 128;
constexpr std::int64_t kColumns = 4096;  // of a row that a block copies at most

/// Mapping: block (i, j) owns kColumns columns of row i of y, a thread every kThreads-th. Shared memory: none.
template <class T>
__global__ void __launch_bounds__(kThreads) gather_kernel(const T* x, std::int64_t pitch, const std::int64_t* indices,
                                                          T* y, std::int64_t rows, std::int64_t columns, T missing) {
  const std::int64_t row = indices[blockIdx.x], first = blockIdx.y * kColumns;
  const bool exists = row >= 0 && row < rows;
  const T* from = x + row * pitch;
  T* to = y + blockIdx.x * columns;
  for (std::int64_t c = first + threadIdx.x; c < min(first + kColumns, columns); c += kThreads)
    to[c] = exists ? from[c] : missing;
}

/// Mapping: of the blocks whose index is the same row, the first owns the row and adds up the gradients of all, in
/// order; the others leave. Shared memory: none. No atomics.
__global__ void __launch_bounds__(kThreads) scatter_kernel(const float* gy, const std::int64_t* indices, int count,
                                                           float* gx, std::int64_t rows, std::int64_t columns) {
  const int first = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x) % cuda::kWarpSize;
  const std::int64_t row = indices[first];
  if (row < 0 || row >= rows) return;  // the whole block
  bool seen = false;                   // every warp looks on its own, 32 indices at a time
  for (int i = lane; i < first; i += cuda::kWarpSize) seen = seen || indices[i] == row;
  if (__any_sync(cuda::kAllLanes, seen)) return;
  for (std::int64_t c = threadIdx.x; c < columns; c += kThreads) {
    float sum = gx[row * columns + c];
    for (int i = first; i < count; ++i)
      if (indices[i] == row) sum += gy[i * columns + c];
    gx[row * columns + c] = sum;
  }
}

template <class T>
void gather(const Forward& args, T missing, StreamHandle stream) {
  const std::int64_t columns = args.y.size[1];
  const dim3 grid(static_cast<unsigned>(args.y.size[0]), cuda::blocks_for(columns, kColumns));
  cuda::launch<gather_kernel<T>>({grid, kThreads, 0, stream}, args.x.as<const T>(), args.x.stride[0],
                                 args.indices.as<const std::int64_t>(), args.y.as<T>(), args.x.size[0], columns,
                                 missing);
}

}  // namespace

void forward_cuda(const Forward& args, StreamHandle stream) {
  if (args.y.size.numel() == 0) return;
  if (args.x.dtype == DType::f32) return gather<float>(args, NAN, stream);
  gather<unsigned char>(args, 0, stream);
}

void backward_cuda(const Backward& args, StreamHandle stream) {
  if (args.gx.beta == 0) gradient_detail::clear_cuda(args.gx.to, stream);
  if (args.gy.size.numel() == 0) return;
  const int count = static_cast<int>(args.gy.size[0]);
  cuda::launch<scatter_kernel>({static_cast<unsigned>(count), kThreads, 0, stream}, args.gy.as<const float>(),
                               args.indices.as<const std::int64_t>(), count, args.gx.to.as<float>(), args.gx.to.size[0],
                               args.gy.size[1]);
}

}  // namespace visage::ops::gather_rows_detail
