#include "ops/conv/max_pool2d_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <vector>

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

/// The window of one output coordinate within [0, length).
struct Range {
  std::int64_t begin, end;
};
Range window(const Backward& a, std::int64_t at, std::int64_t length) {
  const std::int64_t first = at * a.stride - a.padding;
  return {std::max<std::int64_t>(first, 0), std::min<std::int64_t>(first + a.kernel, length)};
}

/// The place (row * kernel + column) of the first maximum of every window of one output row.
template <class T>
void find_places(const Backward& a, std::int64_t image, std::int64_t row) {
  const std::int64_t h = a.x.size[1], w = a.x.size[2], channels = a.x.size[3], out_w = a.gy.size[2];
  const T* x = a.x.as<const T>() + image * h * w * channels;
  std::uint8_t* place = a.place.as<std::uint8_t>() + (image * a.gy.size[1] + row) * out_w * channels;
  std::vector<float> best(channels);
  std::vector<std::int32_t> where(channels);  // as wide as the values, so that the loop vectorises
  const Range rows = window(a, row, h);
  for (std::int64_t column = 0; column < out_w; ++column, place += channels) {
    const Range columns = window(a, column, w);
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      for (std::int64_t j = columns.begin; j < columns.end; ++j) {
        const T* pixel = x + (i * w + j) * channels;
        const bool first = i == rows.begin && j == columns.begin;
        const std::int64_t top = row * a.stride - a.padding, left = column * a.stride - a.padding;
        const auto here = static_cast<std::int32_t>((i - top) * a.kernel + j - left);
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) {
          const auto value = static_cast<float>(pixel[c]);
          const bool larger_here = first || value > best[c];
          best[c] = larger_here ? value : best[c];
          where[c] = larger_here ? here : where[c];
        }
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) place[c] = static_cast<std::uint8_t>(where[c]);
  }
}

/// Every input pixel collects the gradients of the windows whose maximum it is: nothing is written twice, so the result
/// does not depend on the threads.
template <class T>
void collect_row(const Backward& a, std::int64_t image, std::int64_t i) {
  const std::int64_t h = a.x.size[1], w = a.x.size[2], channels = a.x.size[3];
  const std::int64_t out_h = a.gy.size[1], out_w = a.gy.size[2];
  // Output coordinates whose window holds an input coordinate.
  const auto holders = [&](std::int64_t at, std::int64_t count) {
    const std::int64_t reach = at + a.padding - a.kernel;
    return Range{reach < 0 ? 0 : reach / a.stride + 1, std::min(count, (at + a.padding) / a.stride + 1)};
  };
  const Range rows = holders(i, out_h);
  std::vector<float> sum(channels);
  T* to = a.gx.to.as<T>() + (image * h + i) * w * channels;
  for (std::int64_t j = 0; j < w; ++j, to += channels) {
    std::fill(sum.begin(), sum.end(), 0.f);
    const Range columns = holders(j, out_w);
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      for (std::int64_t q = columns.begin; q < columns.end; ++q) {
        const std::int64_t offset = ((image * out_h + r) * out_w + q) * channels;
        const T* gy = a.gy.as<const T>() + offset;
        const std::uint8_t* place = a.place.as<const std::uint8_t>() + offset;
        const auto here =
            static_cast<std::int32_t>((i + a.padding - r * a.stride) * a.kernel + j + a.padding - q * a.stride);
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c)
          sum[c] += std::int32_t{place[c]} == here ? static_cast<float>(gy[c]) : 0.f;
      }
    }
    for (std::int64_t c = 0; c < channels; ++c)
      store(to[c], a.gx.beta == 0 ? sum[c] : a.gx.beta * static_cast<float>(to[c]) + sum[c]);
  }
}

template <class T>
void backward(const Backward& a) {
  const std::int64_t out_rows = a.gy.size[1], rows = a.x.size[1];
  cpu::parallel_for(a.gy.size[0] * out_rows, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) find_places<T>(a, i / out_rows, i % out_rows);
  });
  cpu::parallel_for(a.x.size[0] * rows, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) collect_row<T>(a, i / rows, i % rows);
  });
}

}  // namespace

void backward_cpu(const Backward& a) {
  if (!a.gx.to) return;
  a.x.dtype == DType::f32 ? backward<float>(a) : backward<BFloat16>(a);
}

void forward_cpu(const Forward& a) {
  const std::int64_t rows = a.y.size[1];
  cpu::parallel_for(a.y.size[0] * rows, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      a.x.dtype == DType::f32 ? pool_row<float>(a, i / rows, i % rows) : pool_row<BFloat16>(a, i / rows, i % rows);
  });
}

}  // namespace visage::ops::max_pool2d_detail
