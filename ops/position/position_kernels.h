#pragma once
#include "tensor/view.h"

namespace visage::ops {

/// One axis of the sine code: out [n, features] f32.
void sine_axis_cpu(const View& out);
void sine_axis_cuda(const View& out, StreamHandle stream);
/// out [H*W, fy + fx] = the rows of y [H, fy] and x [W, fx] side by side.
void join_axes_cpu(const View& y, const View& x, const View& out);

}  // namespace visage::ops
