#pragma once
#include "tensor/view.h"

#include <functional>
#include <string_view>

namespace visage::nn {

/// Converts a CPU view of any strides and dtype to contiguous f32 (bool: 0 or 1).
void copy_to_f32(const View& source, float* target);

/// Hands the elements of a CPU view of any strides to `sink` in row-major order, a bounded buffer at a time.
void stream_contiguous(const View& source, const std::function<void(std::string_view)>& sink);

}  // namespace visage::nn
