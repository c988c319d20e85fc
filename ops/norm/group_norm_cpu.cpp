#include "ops/norm/group_norm_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops::group_norm_detail {
namespace {

constexpr std::int64_t kBlockRows = 32;  // 32 rows of 256 f32 channels stay in the L1 cache for the second pass

// Running count, mean and sum of squared deviations of every channel.
struct Moments {
  explicit Moments(std::int64_t channels) : mean(channels), deviation(channels) {}
  float count = 0;
  std::vector<float> mean, deviation;
};

// Chan, Golub, LeVeque 1979: the moments of a union from the moments of its parts.
void merge(Moments& into, const float* mean, const float* deviation, float count) {
  const float total = into.count + count, share = count / total;
  for (std::size_t c = 0; c < into.mean.size(); ++c) {
    const float delta = mean[c] - into.mean[c];
    into.mean[c] += delta * share;
    into.deviation[c] += deviation[c] + delta * delta * into.count * share;
  }
  into.count = total;
}

template <class T>
void add_rows(Moments& moments, const T* x, std::int64_t pitch, std::int64_t rows) {
  const auto channels = static_cast<std::int64_t>(moments.mean.size());
  std::vector<float> mean(channels), deviation(channels);
  for (std::int64_t start = 0; start < rows; start += kBlockRows) {
    const std::int64_t block = std::min(kBlockRows, rows - start);
    const T* first = x + start * pitch;
    std::fill(mean.begin(), mean.end(), 0.f);
    std::fill(deviation.begin(), deviation.end(), 0.f);
    for (std::int64_t r = 0; r < block; ++r)
      for (std::int64_t c = 0; c < channels; ++c) mean[c] += static_cast<float>(first[r * pitch + c]);
    for (std::int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<float>(block);
    for (std::int64_t r = 0; r < block; ++r) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const float d = static_cast<float>(first[r * pitch + c]) - mean[c];
        deviation[c] += d * d;
      }
    }
    merge(moments, mean.data(), deviation.data(), static_cast<float>(block));
  }
}

void write_scale_shift(const Statistics& a, const Moments& moments, std::int64_t image) {
  const std::int64_t channels = a.x.channels, width = channels / a.groups;
  for (std::int64_t group = 0; group < a.groups; ++group) {
    double mean = 0, deviation = 0;
    for (std::int64_t c = group * width; c < (group + 1) * width; ++c) mean += moments.mean[c];
    mean /= static_cast<double>(width);
    for (std::int64_t c = group * width; c < (group + 1) * width; ++c) {
      const double delta = moments.mean[c] - mean;
      deviation += moments.deviation[c] + delta * delta * moments.count;
    }
    const double variance = deviation / (static_cast<double>(width) * moments.count);
    const auto rstd = static_cast<float>(1.0 / std::sqrt(variance + a.eps));
    if (a.mean) {
      a.mean[image * a.groups + group] = static_cast<float>(mean);
      a.rstd[image * a.groups + group] = rstd;
    }
    for (std::int64_t c = group * width; c < (group + 1) * width; ++c) {
      const float scale = a.weight[c] * rstd;
      a.scale[image * channels + c] = scale;
      a.shift[image * channels + c] = static_cast<float>(a.bias[c] - mean * scale);
    }
  }
}

template <class T>
Moments image_moments(const Statistics& a, std::int64_t image) {
  // A fixed number of chunks, so that the result does not depend on the number of threads.
  constexpr std::int64_t kChunks = 16;
  const T* x = static_cast<const T*>(a.x.data) + image * a.x.image_stride;
  std::vector<Moments> parts(kChunks, Moments(a.x.channels));
  cpu::parallel_for(kChunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = a.x.rows * i / kChunks, last = a.x.rows * (i + 1) / kChunks;
      add_rows(parts[i], x + first * a.x.pitch, a.x.pitch, last - first);
    }
  });
  Moments all(a.x.channels);
  for (const Moments& part : parts)
    if (part.count > 0) merge(all, part.mean.data(), part.deviation.data(), part.count);
  return all;
}

template <class In, class Out>
void affine(const Affine& a) {
  const std::int64_t channels = a.x.channels;
  cpu::parallel_for(a.x.images * a.x.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / a.x.rows, row = i % a.x.rows;
      const In* x = static_cast<const In*>(a.x.data) + image * a.x.image_stride + row * a.x.pitch;
      Out* y = static_cast<Out*>(a.y.data) + image * a.y.image_stride + row * a.y.pitch;
      const float* scale = a.scale + image * a.scale_stride;
      const float* shift = a.shift + image * a.scale_stride;
      const float floor = a.relu ? 0.f : -INFINITY;
      if (a.residual.data) {
        const In* residual = static_cast<const In*>(a.residual.data) + i * channels;
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c)
          store(y[c],
                std::max(static_cast<float>(x[c]) * scale[c] + shift[c] + static_cast<float>(residual[c]), floor));
      } else {
#pragma omp simd  // in place, x and y are the same row
        for (std::int64_t c = 0; c < channels; ++c)
          store(y[c], std::max(static_cast<float>(x[c]) * scale[c] + shift[c], floor));
      }
    }
  });
}

}  // namespace

void statistics_cpu(const Statistics& a) {
  for (std::int64_t image = 0; image < a.x.images; ++image) {
    const bool f32 = a.x.dtype == DType::f32;
    write_scale_shift(a, f32 ? image_moments<float>(a, image) : image_moments<BFloat16>(a, image), image);
  }
}

void affine_cpu(const Affine& a) {
  const bool in_f32 = a.x.dtype == DType::f32, out_f32 = a.y.dtype == DType::f32;
  if (in_f32) return out_f32 ? affine<float, float>(a) : affine<float, BFloat16>(a);
  return out_f32 ? affine<BFloat16, float>(a) : affine<BFloat16, BFloat16>(a);
}

}  // namespace visage::ops::group_norm_detail
