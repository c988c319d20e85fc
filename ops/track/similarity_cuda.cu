// Cosine similarities on the GPU, tile by tile (cosine_tile.cuh), both terms of a blended one in one launch. At the
// tracker's size, 100 x 100 x 256, bound by latency: 52 blocks, 72 KiB of rows each. Run on the host against the CPU
// op; not yet run or timed on a GPU.
#include "ops/track/cosine_tile.cuh"
#include "ops/track/similarity_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops {
namespace {

/// out = first_weight cos(a, b) + second_weight cos(c, d); c may be null. Mapping: cosine_tile.cuh; blocks run over the
/// tiles row by row. Shared memory: 21 KiB.
template <int kSize>
__global__ void __launch_bounds__(kCosineThreads)
    similarity_kernel(const float* a, const float* b, int first_depth, float first_weight, const float* c,
                      const float* d, int second_depth, float second_weight, float* out, std::int64_t rows,
                      std::int64_t columns) {
  VISAGE_SHARED(CosineStage, stage, );
  const std::int64_t across = (columns + kCosineColumns - 1) / kCosineColumns;
  const std::int64_t first_row = blockIdx.x / across * kCosineRows;
  const std::int64_t first_column = blockIdx.x % across * kCosineColumns;
  float value = cosine_of_pair<kSize>(MatrixRows{a, rows, first_depth}, MatrixRows{b, columns, first_depth}, first_row,
                                      first_column, first_weight, stage);
  if (c) {
    value += cosine_of_pair<kSize>(MatrixRows{c, rows, second_depth}, MatrixRows{d, columns, second_depth}, first_row,
                                   first_column, second_weight, stage);
  }
  const std::int64_t row = first_row + cosine_pair_row(), column = first_column + cosine_pair_column();
  if (row < rows && column < columns) out[row * columns + column] = value;
}

bool in_packets(const CosineArgs& args) {
  return args.a.size[1] % 4 == 0 && cuda::is_packet_aligned(args.a.data) && cuda::is_packet_aligned(args.b.data);
}

}  // namespace

void similarity_cuda(const CosineArgs& first, const CosineArgs& second, StreamHandle stream) {
  const std::int64_t rows = first.out.size[0], columns = first.out.size[1];
  if (rows == 0 || columns == 0) return;
  const std::int64_t across = cuda::blocks_for(columns, kCosineColumns);
  const cuda::LaunchShape shape{cuda::blocks_for(rows, kCosineRows) * static_cast<unsigned>(across), kCosineThreads, 0,
                                stream};
  const int second_depth = second.a ? static_cast<int>(second.a.size[1]) : 0;
  const auto run = [&]<int kSize>() {
    cuda::launch<similarity_kernel<kSize>>(shape, first.a.as<const float>(), first.b.as<const float>(),
                                           static_cast<int>(first.a.size[1]), first.weight, second.a.as<const float>(),
                                           second.b.as<const float>(), second_depth, second.weight,
                                           first.out.as<float>(), rows, columns);
  };
  if (in_packets(first) && (!second.a || in_packets(second)))
    run.template operator()<4>();
  else
    run.template operator()<1>();
}

}  // namespace visage::ops
