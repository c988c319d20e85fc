#include "ops/assign/matched_rows_kernels.h"

namespace visage::ops {

void matched_rows_cpu(const MatchedRowsArgs& args) {
  const std::int64_t queries = args.column_of_row.size[1], most = args.row_of_column.size[1];
  const auto* const starts = args.starts.as<std::int64_t>();
  std::int64_t at = 0;
  for (std::int64_t n = 0; n < args.column_of_row.size[0]; ++n) {
    for (std::int64_t q = n * queries; q < (n + 1) * queries; ++q) {
      const std::int64_t column = args.column_of_row.as<std::int64_t>()[q], instance = starts[n] + column;
      args.classes.as<std::int64_t>()[q] = column < 0 ? args.no_object : args.labels.as<std::int64_t>()[instance];
      if (column < 0) continue;
      args.queries.as<std::int64_t>()[at] = q;
      args.instances.as<std::int64_t>()[at++] = instance;
    }
    for (std::int64_t instance = starts[n]; instance < starts[n + 1]; ++instance) {
      const std::int64_t row = args.row_of_column.as<std::int64_t>()[n * most + instance - starts[n]];
      args.query_of_instance.as<std::int64_t>()[instance] = row < 0 ? -1 : n * queries + row;
    }
  }
}

}  // namespace visage::ops
