// Batched linear sum assignment on the GPU. A chain of dependent steps, one or two a row, so bound by latency: a
// problem of up to 128 rows and columns is one warp's, with its costs in shared memory and as many problems in flight
// as multiprocessors hold; larger ones, which no model here has, are a block's and stay in global memory. Compiled for
// sm_80 and sm_90 and run on the host against the CPU op; not yet run or timed on a GPU.
#include "ops/assign/assign.cuh"
#include "ops/assign/assign_batch_kernels.h"
#include "tensor/cuda/launch.cuh"

namespace visage::ops::assign_detail {
namespace {

constexpr int kWarpBlock = 128;  // threads that fetch the costs; one warp of them solves
constexpr int kBlock = 256;

/// Columns of problem `index` that count; -1 if that is no number of columns.
__device__ __forceinline__ int columns_of(const std::int64_t* columns, std::int64_t index, int stride) {
  if (!columns) return stride;
  const std::int64_t count = columns[index];
  return count < 0 || count > stride ? -1 : static_cast<int>(count);
}

/// Where one problem's solution goes.
struct Result {
  std::int64_t* column_of_row;
  std::int64_t* row_of_column;
  int* failed;
};

/// Called by `threads` threads that have all passed the barrier behind the solution. Of a transposed problem the rows
/// are the solver's columns.
__device__ __forceinline__ void write_result(const Result& to, const Lists& lists, bool solved, int rows, int count,
                                             int stride, int thread, int threads) {
  const bool transposed = rows > count;
  const int* const of_row = transposed ? lists.row_of_column : lists.column_of_row;
  const int* const of_column = transposed ? lists.column_of_row : lists.row_of_column;
  for (int row = thread; row < rows; row += threads) to.column_of_row[row] = solved ? of_row[row] : -1;
  for (int column = thread; column < stride; column += threads)
    to.row_of_column[column] = solved && column < count ? of_column[column] : -1;
  if (thread == 0) *to.failed = solved ? 0 : 1;
}

/// Mapping: a block a problem; all fetch the costs, the short side as rows, then the first warp solves. The leading
/// dimension is odd, so that both a row and a column are free of bank conflicts.
/// Shared memory: the costs (132 KiB for 128 x 128 f64, 8 KiB for 20 instances of 100 queries), and 2.5 KiB of lists.
template <class T>
__global__ void __launch_bounds__(kWarpBlock)
    assign_warp_kernel(const T* cost, const std::int64_t* columns, std::int64_t* column_of_row,
                       std::int64_t* row_of_column, int* failed, int rows, int stride, bool maximise) {
  VISAGE_DYNAMIC_SHARED(T, table);
  VISAGE_SHARED(double, row_dual, [kWarpColumns]);
  VISAGE_SHARED(int, column_list, [kWarpColumns]);
  VISAGE_SHARED(int, row_list, [kWarpColumns]);
  VISAGE_SHARED(int, predecessor, [kWarpColumns]);
  const std::int64_t index = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const int count = columns_of(columns, index, stride);
  const bool transposed = rows > count;
  const int leading = max(rows, count) | 1;
  const T* const own = cost + index * rows * stride;
  for (int i = thread; i < rows * stride; i += kWarpBlock) {
    const int row = i / stride, column = i % stride;
    if (column < count) table[transposed ? column * leading + row : row * leading + column] = own[i];
  }
  __syncthreads();
  if (thread >= cuda::kWarpSize) return;
  const Lists lists{row_dual, column_list, row_list, predecessor};
  const Problem<T> problem{table, leading, 1, min(rows, count), max(rows, count), maximise};
  const bool solved = count >= 0 && assign_by_warp(problem, lists);
  const Result result{column_of_row + index * rows, row_of_column + index * stride, failed + index};
  write_result(result, lists, solved, rows, count, stride, thread, cuda::kWarpSize);
}

/// Mapping: a block a problem; a thread owns every kBlock-th column. Shared memory: 96 bytes of reductions. The 1 keeps
/// the compiler from spilling for the sake of occupancy.
template <class T>
__global__ void __launch_bounds__(kBlock, 1)
    assign_block_kernel(const T* cost, const std::int64_t* columns, std::int64_t* column_of_row,
                        std::int64_t* row_of_column, int* failed, unsigned char* scratch, std::int64_t scratch_stride,
                        int rows, int stride, bool maximise) {
  const std::int64_t index = blockIdx.x;
  const int count = columns_of(columns, index, stride);
  const bool transposed = rows > count;
  const int shorter = min(rows, stride), longer = max(rows, stride);
  ColumnState* const states = reinterpret_cast<ColumnState*>(scratch + index * scratch_stride);
  double* const row_dual = reinterpret_cast<double*>(states + longer);
  int* const lists_of_columns = reinterpret_cast<int*>(row_dual + shorter);
  const Lists lists{row_dual, lists_of_columns + 2 * std::int64_t{longer}, lists_of_columns, lists_of_columns + longer};
  const Problem<T> problem{cost + index * rows * stride,
                           transposed ? 1 : stride,
                           transposed ? stride : 1,
                           min(rows, count),
                           max(rows, count),
                           maximise};
  const bool solved = count >= 0 && assign_by_block<kBlock>(problem, lists, states);
  const Result result{column_of_row + index * rows, row_of_column + index * stride, failed + index};
  write_result(result, lists, solved, rows, count, stride, static_cast<int>(threadIdx.x), kBlock);
}

bool fits_a_warp(std::int64_t rows, std::int64_t columns) { return rows <= kWarpColumns && columns <= kWarpColumns; }

template <class T>
void assign(const Batch& batch, StreamHandle stream) {
  const auto blocks = static_cast<unsigned>(batch.cost.size[0]);
  const int rows = static_cast<int>(batch.cost.size[1]), columns = static_cast<int>(batch.cost.size[2]);
  if (fits_a_warp(rows, columns)) {
    const std::size_t bytes = sizeof(T) * static_cast<std::size_t>(min(rows, columns)) * (max(rows, columns) | 1);
    cuda::launch<assign_warp_kernel<T>>({blocks, kWarpBlock, bytes, stream}, batch.cost.as<const T>(),
                                        batch.columns.as<const std::int64_t>(), batch.column_of_row.as<std::int64_t>(),
                                        batch.row_of_column.as<std::int64_t>(), batch.failed.as<int>(), rows, columns,
                                        batch.maximise);
  } else {
    cuda::launch<assign_block_kernel<T>>(
        {blocks, kBlock, 0, stream}, batch.cost.as<const T>(), batch.columns.as<const std::int64_t>(),
        batch.column_of_row.as<std::int64_t>(), batch.row_of_column.as<std::int64_t>(), batch.failed.as<int>(),
        batch.scratch.as<unsigned char>(), scratch_bytes(rows, columns), rows, columns, batch.maximise);
  }
}

}  // namespace

std::int64_t scratch_bytes(std::int64_t rows, std::int64_t columns) {
  if (fits_a_warp(rows, columns)) return 0;
  const std::int64_t shorter = min(rows, columns), longer = max(rows, columns);
  const std::int64_t bytes =
      longer * (sizeof(ColumnState) + 2 * sizeof(int)) + shorter * (sizeof(double) + sizeof(int));
  return (bytes + 15) / 16 * 16;
}

void assign_batch_cuda(const Batch& batch, StreamHandle stream) {
  if (batch.cost.size[0] == 0) return;
  if (batch.cost.dtype == DType::f64) return assign<double>(batch, stream);
  assign<float>(batch, stream);
}

}  // namespace visage::ops::assign_detail
