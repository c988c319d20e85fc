#include "ops/assign/matched_rows.h"

#include "ops/assign/matched_rows_kernels.h"
#include "ops/dispatch.h"

#include <algorithm>

namespace visage::ops {
namespace {

void check_inputs(const AssignmentBatch& pairs, const RowRanges& instances, const Tensor& labels) {
  check<ShapeError>(pairs.column_of_row.size(0) == instances.items() &&
                        pairs.row_of_column.size() == Dims{instances.items(), instances.most()},
                    "matched_rows: pairs of costs [", pairs.column_of_row.size(0), ", ", pairs.column_of_row.size(1),
                    ", ", pairs.row_of_column.size(1), "] for ", instances.items(), " frames of at most ",
                    instances.most(), " instances");
  check<ShapeError>(labels.size() == Dims{instances.rows()} && labels.is_contiguous(), "matched_rows: labels must be [",
                    instances.rows(), "]; got ", labels.size());
  check<DTypeError>(labels.dtype() == DType::i64, "matched_rows: labels must be i64; got ", labels.dtype());
  const Device device = pairs.column_of_row.device();
  check<DeviceError>(labels.device() == device && instances.starts().device() == device,
                     "matched_rows: pairs, instances and labels must be on one device");
}

}  // namespace

MatchedRows matched_rows(const AssignmentBatch& pairs, const RowRanges& instances, const Tensor& labels,
                         std::int64_t no_object) {
  check_inputs(pairs, instances, labels);
  const std::int64_t queries = pairs.column_of_row.size(1);
  const Device device = labels.device();
  std::int64_t matched = 0;
  for (std::int64_t n = 0; n < instances.items(); ++n) matched += std::min(queries, instances.count(n));
  const auto list = [&](const Dims& size) { return Tensor::empty(size, DType::i64, device); };
  MatchedRows rows{list({matched}), list({matched}), list({instances.rows()}), list({instances.items(), queries})};
  const MatchedRowsArgs args{.column_of_row = pairs.column_of_row.view(),
                             .row_of_column = pairs.row_of_column.view(),
                             .failed = pairs.failed.view(),
                             .starts = instances.starts().view(),
                             .labels = labels.view(),
                             .no_object = no_object,
                             .queries = rows.queries.view(),
                             .instances = rows.instances.view(),
                             .query_of_instance = rows.query_of_instance.view(),
                             .classes = rows.classes.view()};
  note_work(0, pairs.column_of_row, pairs.row_of_column, labels, rows.classes);
  on_device(
      device,
      [&] {
        pairs.check();
        matched_rows_cpu(args);
      },
      [&](StreamHandle stream) { matched_rows_cuda(args, stream); });
  return rows;
}

}  // namespace visage::ops
