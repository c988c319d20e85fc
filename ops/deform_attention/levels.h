#pragma once
#include "ops/deform_attention/deform_attention.h"
#include "ops/deform_attention/deform_attention_kernels.h"

namespace visage::ops {

/// Fills levels[0 .. shapes.size()) for the kernels and returns the number of tokens they hold.
/// throws ShapeError, in the name of `op`, unless there are 1 to kMaxLevels levels, none of them empty.
std::int64_t set_levels(const char* op, std::span<const LevelShape> shapes, DeformLevel* levels);

}  // namespace visage::ops
