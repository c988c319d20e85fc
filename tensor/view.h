#pragma once
// The only tensor type a kernel translation unit sees: plain data, no ownership, no std containers.
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace visage {

struct View {
  void* data = nullptr;
  Dims size;
  Dims stride;  // in elements
  DType dtype = DType::f32;
  DeviceType device = DeviceType::cpu;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  explicit operator bool() const { return data != nullptr; }
};

/// A cudaStream_t behind an opaque pointer, so that headers above tensor/cuda/ need no CUDA header.
struct StreamHandle {
  void* raw = nullptr;
};

}  // namespace visage
