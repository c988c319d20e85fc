#pragma once
#include "tensor/view.h"

namespace visage::ops::conv2d_detail {

/// y = act(product [+ bias] [+ y]): what follows a convolution that could not be fused with it.
struct Epilogue {
  View product;  // [N, H', W', O] contiguous, f32 | bf16 | f16
  View bias;     // [O] f32, or empty
  View y;        // like product, of any of these types
  bool relu, adds;
};
void epilogue_cuda(const Epilogue& args, StreamHandle stream);

}  // namespace visage::ops::conv2d_detail
