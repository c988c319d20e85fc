#pragma once
#include "tensor/view.h"

namespace visage::ops::network_input_detail {

struct Args {
  View frame;          // u8 [H,W,3]
  View columns, rows;  // taps as in InputPlan; CUDA only
  std::int64_t image_height, image_width;
  View out;  // [padded height, padded width, 3]
};
void network_input_cpu(const Args& args);
void network_input_cuda(const Args& args, StreamHandle stream);

/// Of red, green and blue, in units of a byte.
inline constexpr float kMean[3] = {123.675f, 116.28f, 103.53f};
inline constexpr float kStd[3] = {58.395f, 57.12f, 57.375f};

}  // namespace visage::ops::network_input_detail
