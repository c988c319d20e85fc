// Network input on the GPU: both passes of the resizing, normalisation and padding in one launch; the image between the
// passes exists only in shared memory, a few rows at a time. Bound by the loads of single bytes of the frame, which the
// first-level cache serves. Run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/preprocess/network_input_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/packet.cuh"
#include "tensor/cuda/shared.cuh"

namespace visage::ops::network_input_detail {
namespace {

constexpr int kColumns = 32, kRows = 8;  // output pixels of a block, one a thread
constexpr int kStaged = 16;              // rows between the passes that are in shared memory at a time
constexpr int kThreads = kColumns * kRows;
constexpr int kWeightBits = 22;  // kAntialiasBits
constexpr int kHalf = 1 << (kWeightBits - 1);

__device__ __forceinline__ int to_byte(int sum) { return min(max(sum >> kWeightBits, 0), 255); }

/// Taps of one output index: first input, number of inputs, weights.
struct Taps {
  const int* row;
  __device__ int first() const { return row[0]; }
  __device__ int end() const { return row[0] + row[1]; }
  __device__ int weight(int input) const { return row[2 + input - row[0]]; }
};

/// Pixel (x of the taps, y of the frame) after the pass along the rows.
__device__ __forceinline__ void narrowed_pixel(const unsigned char* row, const Taps& taps, int (&rgb)[3]) {
#pragma unroll
  for (int& sum : rgb) sum = kHalf;
  for (int x = taps.first(); x < taps.end(); ++x) {
    const int weight = taps.weight(x);
#pragma unroll
    for (int c = 0; c < 3; ++c) rgb[c] += row[3 * x + c] * weight;
  }
}

/// Mapping: a block owns 32 x 8 pixels of the padded input, a thread one of them, a warp a row. In turns, the block
/// makes the next 16 rows of the narrowed frame, 32 columns of them, and every thread adds those that its pixel needs;
/// so the filter may be of any length. Then the rows of results are written as one stream. Shared memory: 6 KiB of
/// narrowed pixels, 3 KiB of results.
template <class T>
__global__ void __launch_bounds__(kThreads)
    network_input_kernel(const unsigned char* frame, const int* columns, const int* rows, T* out, int frame_width,
                         int image_height, int image_width, int padded_height, int padded_width, int column_stride,
                         int row_stride) {
  VISAGE_SHARED(int, narrowed, [kStaged][3][kColumns]);
  VISAGE_SHARED(float, results, [kRows][3 * kColumns]);
  const int thread = static_cast<int>(threadIdx.x), column = thread % kColumns, row = thread / kColumns;
  const int across = (padded_width + kColumns - 1) / kColumns;
  const int first_column = static_cast<int>(blockIdx.x) % across * kColumns;
  const int first_row = static_cast<int>(blockIdx.x) / across * kRows;
  const int x = first_column + column, y = first_row + row;
  const bool inside = x < image_width && y < image_height;
  float value[3] = {};
  if (first_column < image_width && first_row < image_height) {  // the same for the whole block
    const Taps along{columns + std::int64_t{min(x, image_width - 1)} * column_stride};
    const Taps down{rows + std::int64_t{min(y, image_height - 1)} * row_stride};
    const Taps first{rows + std::int64_t{first_row} * row_stride};
    const Taps last{rows + std::int64_t{min(first_row + kRows, image_height) - 1} * row_stride};
    int sums[3] = {kHalf, kHalf, kHalf};
    for (int start = first.first(); start < last.end(); start += kStaged) {
      const int end = min(start + kStaged, last.end());
      for (int i = start + row; i < end; i += kRows) {
        int rgb[3];
        narrowed_pixel(frame + std::int64_t{3} * i * frame_width, along, rgb);
#pragma unroll
        for (int c = 0; c < 3; ++c) narrowed[i - start][c][column] = to_byte(rgb[c]);
      }
      __syncthreads();
      for (int i = max(start, down.first()); i < min(end, down.end()); ++i) {
        const int weight = down.weight(i);
#pragma unroll
        for (int c = 0; c < 3; ++c) sums[c] += narrowed[i - start][c][column] * weight;
      }
      __syncthreads();  // the next rows overwrite these
    }
    constexpr float mean[3] = {kMean[0], kMean[1], kMean[2]}, deviation[3] = {kStd[0], kStd[1], kStd[2]};
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      if (inside) value[c] = (static_cast<float>(to_byte(sums[c])) - mean[c]) / deviation[c];
    }
  }
#pragma unroll
  for (int c = 0; c < 3; ++c) results[row][3 * column + c] = value[c];
  __syncthreads();
  const int width = 3 * min(kColumns, padded_width - first_column), height = min(kRows, padded_height - first_row);
  for (int i = thread; i < kRows * 3 * kColumns; i += kThreads) {
    const int r = i / (3 * kColumns), c = i % (3 * kColumns);
    if (r < height && c < width) {
      out[(std::int64_t{first_row + r} * padded_width + first_column) * 3 + c] = cuda::from_float<T>(results[r][c]);
    }
  }
}

}  // namespace

void network_input_cuda(const Args& args, StreamHandle stream) {
  const int padded_height = static_cast<int>(args.out.size[0]), padded_width = static_cast<int>(args.out.size[1]);
  const unsigned blocks = cuda::blocks_for(padded_width, kColumns) * cuda::blocks_for(padded_height, kRows);
  cuda::for_dtype(args.out.dtype, [&]<class T>(T) {
    cuda::launch<network_input_kernel<T>>({blocks, kThreads, 0, stream}, args.frame.as<const unsigned char>(),
                                          args.columns.as<const int>(), args.rows.as<const int>(), args.out.as<T>(),
                                          static_cast<int>(args.frame.size[1]), static_cast<int>(args.image_height),
                                          static_cast<int>(args.image_width), padded_height, padded_width,
                                          static_cast<int>(args.columns.size[1]), static_cast<int>(args.rows.size[1]));
  });
}

}  // namespace visage::ops::network_input_detail
