#pragma once
#include "ops/assign/assign_batch.h"
#include "ops/shape/row_ranges.h"

namespace visage::ops {

/// The pairs of queries and instances of N frames as rows: query q of frame n is row n * Q + q of all queries.
struct MatchedRows {
  Tensor queries;            // i64 [M]: the queries that have an instance, in rising order
  Tensor instances;          // i64 [M]: their instances
  Tensor query_of_instance;  // i64 [G], the same from the other side; -1 for an instance without a query
  Tensor classes;            // i64 [N, Q]: the label of a query's instance, `no_object` where it has none
};

/// What a set-prediction loss (DETR, Carion et al., section 3.1) asks about the matching of a batch of frames, on its
/// device and without waiting for it: M, the sum of min(Q, instances) over the frames, does not depend on the costs.
/// `pairs`: of costs [N, Q, instances.most()]; labels i64 [G] of the G = instances.rows() instances. Not
/// differentiable. throws ShapeError, DTypeError or DeviceError if the parts do not fit together; NonFiniteError if a
/// frame could not be assigned. On a GPU nobody waits to see that: its rows and classes are -1, with which gather_rows
/// gives NaN and weighted_cross_entropy, too.
[[nodiscard]] MatchedRows matched_rows(const AssignmentBatch& pairs, const RowRanges& instances, const Tensor& labels,
                                       std::int64_t no_object);

}  // namespace visage::ops
