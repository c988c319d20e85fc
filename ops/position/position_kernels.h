#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// One axis of the sine code: out [n, features] f32.
void sine_axis_cpu(const View& out);
void sine_axis_cuda(const View& out, StreamHandle stream);

}  // namespace visage::ops
