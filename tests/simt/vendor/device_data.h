#pragma once
// What the stand-ins for vendor libraries share: device memory read and written as floats.
#include "simt/control.h"
#include "simt/unwritten.h"
#include "tensor/float16.h"
#include "tensor/view.h"

#include <cmath>
#include <vector>

namespace simt {

/// Ends the program unless every element of the view is device memory. Call it when work is queued, as a library would
/// be given the pointers then.
inline void check_view(const char* what, const visage::View& view) {
  std::int64_t last = 0;
  for (int i = 0; i < view.size.rank; ++i) last += (view.size[i] - 1) * view.stride[i];
  if (view && view.size.numel() > 0) check_device_range(what, view.data, (last + 1) * visage::size_of(view.dtype));
}

inline const void* address(const visage::View& view, std::int64_t at) {
  return static_cast<const char*>(view.data) + at * static_cast<std::int64_t>(visage::size_of(view.dtype));
}

inline float load(const visage::View& view, std::int64_t at) {
  check_written(address(view, at), visage::size_of(view.dtype));
  if (view.dtype == visage::DType::bf16) return static_cast<float>(view.as<const visage::BFloat16>()[at]);
  if (view.dtype == visage::DType::f16) return static_cast<float>(view.as<const visage::Half>()[at]);
  return view.as<const float>()[at];
}

inline void store(const visage::View& view, std::int64_t at, float value) {
  mark_written(address(view, at), visage::size_of(view.dtype));
  if (view.dtype == visage::DType::bf16) return visage::store(view.as<visage::BFloat16>()[at], value);
  if (view.dtype == visage::DType::f16) return visage::store(view.as<visage::Half>()[at], value);
  view.as<float>()[at] = value;
}

/// The elements of a contiguous view.
inline std::vector<float> dense(const visage::View& view) {
  std::vector<float> values(static_cast<std::size_t>(view.size.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = load(view, static_cast<std::int64_t>(i));
  return values;
}

}  // namespace simt
