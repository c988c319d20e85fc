#pragma once
#include "tensor/view.h"

namespace visage::ops {

struct MatchedRowsArgs {
  View column_of_row;  // i64 [N, Q]
  View row_of_column;  // i64 [N, most]
  View failed;         // i32 [N]
  View starts;         // i64 [N + 1]
  View labels;         // i64 [G]
  std::int64_t no_object;
  View queries, instances;  // i64 [M]
  View query_of_instance;   // i64 [G]
  View classes;             // i64 [N, Q]
};
void matched_rows_cpu(const MatchedRowsArgs& args);  // no frame has failed
void matched_rows_cuda(const MatchedRowsArgs& args, StreamHandle stream);

}  // namespace visage::ops
