#pragma once
#include "tensor/view.h"

namespace visage::ops::row_program_detail {

inline constexpr int kMostSteps = 24;
inline constexpr int kEveryBranch = -1;

/// Where a value of a block's rows lies in shared memory: `at` floats a row are before it, its rows are `pitch` floats
/// apart, and it begins at `column` of them.
struct Slot {
  int at = 0, pitch = 0, column = 0;
  bool operator==(const Slot&) const = default;
};

/// One step of a program. The matrices that it meets are `data` (source of a load, weights of a linear map or norm) and
/// `out`, both with element strides; pointers are null where there is nothing.
struct Step {
  enum class Kind : std::uint8_t { load, combine, norm, linear, store };
  Kind kind = Kind::load;
  std::int8_t branch = kEveryBranch;  // the blocks that take it
  bool relu = false;
  bool vectors = false;   // 16 bytes of `data` (and of `out`, in a store) may be moved at a time
  bool repeated = false;  // a load: `data` has the rows of one image, which serve all of them
  bool row_bias = false;  // `bias` is [Q, columns], else [columns]
  DType dtype = DType::f32, out_dtype = DType::f32;  // of data and out, f32 or bf16
  Slot from, added, to;                              // added.pitch 0: nothing is added before the norm
  int depth = 0, columns = 0, groups = 1;            // of a linear map: group g meets depth columns from g * depth on
  int parts = 1;                                     // of a load: summed in their order; splits to combine
  float eps = 0;
  const void* data = nullptr;
  const float* bias = nullptr;  // stats of the splits, [2, parts, N, groups, Q], in a combination
  void* out = nullptr;
  std::int64_t pitch = 0, part_stride = 0;
  std::int64_t out_image = 0, out_group = 0, out_row = 0;
};

struct Program {
  Step steps[kMostSteps];
  int count = 0, branches = 1;
  int images = 0, queries = 0;
  int row_floats = 0;  // of shared memory, for each row of a block
  int row_tiles = 1;   // rows of a block: 8 times 1 or 2
};
void run_cuda(const Program& program, StreamHandle stream);

}  // namespace visage::ops::row_program_detail
