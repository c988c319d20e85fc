#pragma once
// The only door to cuBLASLt: matrix products of the CUDA backend.
#include "tensor/activation.h"
#include "tensor/view.h"

namespace visage::cuda::cublas {

/// y = activation(a * b^T [+ bias] [+ y]), for every item of a batch if there is one. Sums are f32; f32 factors are
/// rounded to TF32 where precision.h says so. The order of summation depends on the problem and the device alone.
struct Product {
  View a;     // [B, M, K] or [M, K], f32 | bf16 | f16; one of the last two axes has stride 1
  View b;     // [B, N, K] or [N, K], like a
  View bias;  // [N] of the type of y, contiguous, or empty
  View y;     // [B, M, N] or [M, N], f32 or the type of a; rows may be strided
  Activation activation = Activation::none;
  float beta = 0.f;  // 1: add to what y holds
};

/// throws ShapeError for strides that no leading dimension describes, CudaError if the library refuses.
void run(const Product& args, StreamHandle stream);

}  // namespace visage::cuda::cublas
