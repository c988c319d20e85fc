#pragma once
#include "tensor/view.h"

namespace visage::ops::assign_detail {

struct Batch {
  View cost;           // [B, R, C] contiguous f32 | f64
  View columns;        // i64 [B] or empty: columns that count
  View column_of_row;  // i64 [B, R]
  View row_of_column;  // i64 [B, C]
  View failed;         // i32 [B]
  View scratch;        // scratch_bytes(R, C) bytes a problem, 8-byte aligned
  bool maximise;
};

/// Bytes of memory that the kernel wants for one problem; 0 where it fits into shared memory.
std::int64_t scratch_bytes(std::int64_t rows, std::int64_t columns);
void assign_batch_cuda(const Batch& batch, StreamHandle stream);

}  // namespace visage::ops::assign_detail
