#pragma once
#include "tensor/view.h"

namespace visage::ops::group_norm_detail {

/// Pixels of a batch of images: row r of image n starts at data + n * image_stride + r * pitch (in elements).
struct Pixels {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t images = 0, rows = 0, channels = 0, image_stride = 0, pitch = 0;
};

struct Statistics {
  Pixels x;
  const float *weight, *bias;  // [C]
  float *scale, *shift;        // [N, C]
  int groups;
  float eps;
};
void statistics_cpu(const Statistics& args);

struct Affine {
  Pixels x, y;
  const float *scale, *shift;
  std::int64_t scale_stride;  // elements from one image's scale to the next: C or 0
  bool relu;
};
void affine_cpu(const Affine& args);

}  // namespace visage::ops::group_norm_detail
