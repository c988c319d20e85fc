#include "ops/conv/max_pool2d_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>

namespace visage::ops::max_pool2d_detail {
namespace {

float larger(float a, float b) { return a > b ? a : b; }
BFloat16 larger(BFloat16 a, BFloat16 b) {
  BFloat16 result;
  result.bits = static_cast<float>(a) > static_cast<float>(b) ? a.bits : b.bits;
  return result;
}

template <class T>
void pool_row(const Forward& a, std::int64_t image, std::int64_t row) {
  const std::int64_t h = a.x.size[1], w = a.x.size[2], channels = a.x.size[3], out_w = a.y.size[2];
  const T* x = a.x.as<T>() + image * h * w * channels;
  T* y = a.y.as<T>() + (image * a.y.size[1] + row) * out_w * channels;
  const std::int64_t top = std::max<std::int64_t>(row * a.stride - a.padding, 0);
  const std::int64_t bottom = std::min<std::int64_t>(row * a.stride - a.padding + a.kernel, h);
  for (std::int64_t column = 0; column < out_w; ++column, y += channels) {
    const std::int64_t left = std::max<std::int64_t>(column * a.stride - a.padding, 0);
    const std::int64_t right = std::min<std::int64_t>(column * a.stride - a.padding + a.kernel, w);
    std::copy_n(x + (top * w + left) * channels, channels, y);
    for (std::int64_t i = top; i < bottom; ++i) {
      for (std::int64_t j = left; j < right; ++j) {
        const T* pixel = x + (i * w + j) * channels;
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) y[c] = larger(pixel[c], y[c]);
      }
    }
  }
}

}  // namespace

void forward_cpu(const Forward& a) {
  const std::int64_t rows = a.y.size[1];
  cpu::parallel_for(a.y.size[0] * rows, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      a.x.dtype == DType::f32 ? pool_row<float>(a, i / rows, i % rows) : pool_row<BFloat16>(a, i / rows, i % rows);
  });
}

}  // namespace visage::ops::max_pool2d_detail
