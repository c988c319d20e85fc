#pragma once
#include "tensor/tensor.h"

namespace visage::ops {

/// Mixed precision. While it lives, conv2d and linear of this thread round f32 inputs to `dtype` (f32: as they are),
/// and so compute in that type, forward and backward, with f32 sums. Weights, results and gradients keep their types:
/// an op called under Autocast takes and gives what it does without. bf16 has the range of f32, so losses need no
/// scaling. Scopes nest; the innermost decides.
class Autocast {
 public:
  explicit Autocast(DType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType outer_;
};

/// The type that products compute in on this thread: f32 but for Autocast.
DType autocast_dtype();

}  // namespace visage::ops
