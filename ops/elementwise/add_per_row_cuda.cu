// Bound by memory bandwidth: reads and writes x once. Run on the host against the CPU op; not yet run or timed on a
// GPU.
#include "ops/elementwise/add_per_row_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"

namespace visage::ops::add_per_row_detail {
namespace {

constexpr int kThreads = 256;

/// Mapping: blocks (b, r) in a grid-stride loop over the rows; thread t of block b owns packet b * kThreads + t of
/// the row. kSize must divide L. Shared memory: none.
template <int kSize>
__global__ void __launch_bounds__(kThreads)
    add_per_row_kernel(float* x, const float* shift, std::int64_t rows, std::int64_t length) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize;
  if (at >= length) return;
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float values[kSize];
    cuda::load_packet<kSize>(x + row * length + at, values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += shift[row];
    cuda::store_packet(x + row * length + at, values);
  }
}

template <int kSize>
void run(const AddPerRow& args, StreamHandle stream) {
  const std::int64_t length = args.x.size[-1], rows = args.shift.size.numel();
  const dim3 grid(cuda::blocks_for(length, kThreads * kSize), static_cast<unsigned>(rows < 65535 ? rows : 65535));
  cuda::launch<add_per_row_kernel<kSize>>({grid, kThreads, 0, stream}, args.x.as<float>(), args.shift.as<const float>(),
                                          rows, length);
}

}  // namespace

void add_per_row_cuda(const AddPerRow& args, StreamHandle stream) {
  constexpr int kPacket = cuda::kPacketSize<float>;
  if (args.x.size[-1] % kPacket == 0 && cuda::is_packet_aligned(args.x.data)) return run<kPacket>(args, stream);
  run<1>(args, stream);
}

}  // namespace visage::ops::add_per_row_detail
