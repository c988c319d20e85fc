#pragma once
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace visage::test {

/// Folder of the recorded reference numbers: VISAGE_GOLDEN_DIR, or tests/data/golden of the source tree.
std::string golden_dir();
/// Folder of the evaluator's reference numbers: VISAGE_GOLDEN_EVAL_DIR, or tests/data/golden_eval.
std::string golden_eval_dir();

/// One recorded tensor. Large ones are recorded as elements 0, step, 2 step, ... of the row-major full tensor.
struct GoldenTensor {
  Tensor values;          // the stored elements: `full_size` when complete, else 1-D
  Dims full_size;         // of the tensor that was recorded
  std::int64_t step = 1;  // distance of stored elements in the flattened full tensor
  double f32_error = 0;   // largest difference of f32 and f64 runs of the official code; 0 where not recorded
  bool complete() const { return step == 1; }
};

/// A safetensors file of the golden set, read whole. Dtypes F32, F64, F16, BF16, I64, I32, U8 and BOOL.
///   const GoldenFile golden("ops.safetensors");
///   EXPECT_TRUE(golden.matches("layernorm/out/y", y));
class GoldenFile {
 public:
  /// `file` is relative to golden_dir() unless it is absolute. throws InputError if it cannot be read.
  explicit GoldenFile(const std::string& file);

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// Every name that starts with `prefix`, sorted.
  std::vector<std::string> names(const std::string& prefix = "") const;
  /// throws InputError if there is no such tensor.
  const GoldenTensor& at(const std::string& name) const;
  /// The values of a tensor that is recorded completely. throws InputError if it is a subset.
  Tensor load(const std::string& name) const;
  /// Compares `got` (the full tensor, any strides, floating point or integer) with the recorded elements:
  /// |got - want| <= 20 f32_error + 1e-6 + `slack`.
  testing::AssertionResult matches(const std::string& name, const Tensor& got, double slack = 0) const;

 private:
  void read_manifest(const std::string& path);

  std::string file_;
  std::map<std::string, GoldenTensor> tensors_;
};

/// One tensor of one file of the golden set; it must be complete.
Tensor load_golden(const std::string& file, const std::string& name);

}  // namespace visage::test
