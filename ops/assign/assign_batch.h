#pragma once
#include "ops/assign/hungarian.h"
#include "tensor/tensor.h"

namespace visage::ops {

/// Solutions of a batch of problems, on the device of the costs.
struct AssignmentBatch {
  Tensor column_of_row;  // i64 [B, R]; -1 where a row stays without a column
  Tensor row_of_column;  // i64 [B, C], the same from the other side
  Tensor failed;         // i32 [B]; 1 for a problem that assign() refuses, all of whose rows and columns are -1

  /// throws NonFiniteError with the number of the first problem that failed. Waits for the device.
  void check() const;
};

/// Linear sum assignment (ops/assign/hungarian.h) of every matrix of a batch, without waiting for the device: exactly
/// the pairs that assign() finds, ties included. What assign() throws NonFiniteError for only marks its problem as
/// failed.
///
/// cost [B, R, C] f32 | f64 contiguous. `columns`, i64 [B], if given: problem b has only the columns before columns[b];
/// a number that is not in [0, C] makes it fail. Not differentiable. throws ShapeError, DTypeError or DeviceError if
/// the parts do not fit together.
[[nodiscard]] AssignmentBatch assign_batch(const Tensor& cost, const Tensor& columns = {},
                                           Objective objective = Objective::minimise);

}  // namespace visage::ops
