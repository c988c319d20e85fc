#pragma once
#include "ops/gradient/gradient.h"

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
  float *mean, *rstd;          // [N, groups] for the backward, or null
  int groups;
  float eps;
  float* partial;  // [2, N, slices, C] and then [N, C] scratch; CUDA only
};
void statistics_cpu(const Statistics& args);
void statistics_cuda(const Statistics& args, StreamHandle stream);

/// The CUDA kernels sum up an image in this many independent slices: enough to occupy a GPU, of 32 pixels at least.
constexpr std::int64_t slices_for(std::int64_t images, std::int64_t rows) {
  const std::int64_t wanted = images < 256 ? 256 / (images > 0 ? images : 1) : 1, possible = rows / 32;
  return possible < 2 ? 1 : wanted < possible ? wanted : possible;
}

struct Affine {
  Pixels x, y;
  const float *scale, *shift;
  std::int64_t scale_stride;  // elements from one image's scale to the next, or 0
  bool relu;
  Pixels residual;  // of the dtype of x; its data may be null
};
void affine_cpu(const Affine& args);
void affine_cuda(const Affine& args, StreamHandle stream);

/// gx = beta * gx + g * scale and gresidual = beta * gresidual + g, with g = gy where relu_result (if there is one) is
/// positive, else 0; gscale = sum g * x and gshift = sum g over all pixels, where scale_stride is 0. Each may be
/// unwanted.
struct AffineBackward {
  Pixels x;                // only for gscale
  Pixels gy, relu_result;  // contiguous, of the dtype of x; relu_result.data may be null
  const float* scale;
  std::int64_t scale_stride;     // as in Affine
  Gradient gx, gresidual;        // contiguous
  Gradient gscale, gshift;       // [C] f32
  float *partial, *sum_scratch;  // as in Backward
};
void affine_backward_cpu(const AffineBackward& args);
void affine_backward_cuda(const AffineBackward& args, StreamHandle stream);

/// With n = (x - mean) * rstd, g as above and means over the pixels and channels of a group:
///   gx = rstd * (g * weight - mean(g * weight) - n * mean(g * weight * n)),   gweight = sum g * n,   gbias = sum g.
struct Backward {
  Pixels x, gy, relu_result;  // of one dtype; gy and relu_result contiguous; relu_result.data may be null
  const float *weight, *mean, *rstd;
  int groups;
  Gradient gx;              // contiguous, dtype of x
  Gradient gweight, gbias;  // [C] f32
  // Scratch, CUDA only: [2, N, slices, C] f32, [2, N, groups] f32, and what gradient_detail::sum_rows_cuda needs for
  // N * slices rows.
  float *partial, *maps, *sum_scratch;
};
void backward_cpu(const Backward& args);
void backward_cuda(const Backward& args, StreamHandle stream);

}  // namespace visage::ops::group_norm_detail
