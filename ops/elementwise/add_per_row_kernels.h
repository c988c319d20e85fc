#pragma once
#include "tensor/view.h"

namespace visage::ops::add_per_row_detail {

struct AddPerRow {
  View x;      // [rows, L] f32, contiguous, not empty; written
  View shift;  // [rows] f32
};
void add_per_row_cpu(const AddPerRow& args);
void add_per_row_cuda(const AddPerRow& args, StreamHandle stream);

}  // namespace visage::ops::add_per_row_detail
