// Lists of matched queries and instances on the GPU. A few thousand numbers: bound by the latency of one launch.
// Compiled for sm_80 and sm_90 and run on the host against the CPU code; not yet run or timed on a GPU.
#include "ops/assign/matched_rows_kernels.h"
#include "tensor/cuda/launch.cuh"
#include "tensor/cuda/warp.cuh"

namespace visage::ops {
namespace {

using cuda::kAllLanes;
using cuda::kWarpSize;

/// MatchedRowsArgs as the kernel wants them.
struct Lists {
  const std::int64_t* column_of_row;
  const std::int64_t* row_of_column;
  const int* failed;
  const std::int64_t* starts;
  const std::int64_t* labels;
  std::int64_t no_object, queries, most;
  std::int64_t* matched_queries;
  std::int64_t* matched_instances;
  std::int64_t* query_of_instance;
  std::int64_t* classes;
};

/// Mapping: a warp owns a frame. It walks the queries in order, 32 at a time, and counts with a ballot how many matched
/// ones come before. Shared memory: none.
__global__ void __launch_bounds__(kWarpSize) matched_rows_kernel(Lists lists) {
  const std::int64_t n = blockIdx.x, queries = lists.queries, first_query = n * queries;
  const std::int64_t first = lists.starts[n], count = lists.starts[n + 1] - first;
  const int lane = static_cast<int>(threadIdx.x);
  const bool solved = lists.failed[n] == 0;
  std::int64_t at = 0;  // pairs of earlier frames
  for (std::int64_t i = 0; i < n; ++i) at += min(queries, lists.starts[i + 1] - lists.starts[i]);
  for (std::int64_t i = lane; i < count; i += kWarpSize) {
    const std::int64_t row = lists.row_of_column[n * lists.most + i];
    lists.query_of_instance[first + i] = row < 0 ? -1 : first_query + row;
  }
  for (std::int64_t i = lane; i < min(queries, count) && !solved; i += kWarpSize)
    lists.matched_queries[at + i] = lists.matched_instances[at + i] = -1;
  for (std::int64_t start = 0; start < queries; start += kWarpSize) {
    const std::int64_t query = start + lane;
    const std::int64_t column = query < queries ? lists.column_of_row[first_query + query] : -1;
    const unsigned matched = __ballot_sync(kAllLanes, column >= 0);
    if (column >= 0) {
      const std::int64_t place = at + __popc(matched & ((1u << lane) - 1));
      lists.matched_queries[place] = first_query + query;
      lists.matched_instances[place] = first + column;
    }
    if (query < queries) {
      const std::int64_t without = solved ? lists.no_object : -1;
      lists.classes[first_query + query] = column >= 0 ? lists.labels[first + column] : without;
    }
    at += __popc(matched);
  }
}

}  // namespace

void matched_rows_cuda(const MatchedRowsArgs& args, StreamHandle stream) {
  const auto frames = static_cast<unsigned>(args.column_of_row.size[0]);
  if (frames == 0) return;
  const Lists lists{args.column_of_row.as<const std::int64_t>(),
                    args.row_of_column.as<const std::int64_t>(),
                    args.failed.as<const int>(),
                    args.starts.as<const std::int64_t>(),
                    args.labels.as<const std::int64_t>(),
                    args.no_object,
                    args.column_of_row.size[1],
                    args.row_of_column.size[1],
                    args.queries.as<std::int64_t>(),
                    args.instances.as<std::int64_t>(),
                    args.query_of_instance.as<std::int64_t>(),
                    args.classes.as<std::int64_t>()};
  cuda::launch<matched_rows_kernel>({frames, kWarpSize, 0, stream}, lists);
}

}  // namespace visage::ops
