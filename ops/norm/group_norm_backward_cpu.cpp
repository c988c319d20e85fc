// Two passes: per-channel sums of g and g * n, then the gradient of x from the sums of its group.
#include "ops/norm/group_norm_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <vector>

namespace visage::ops::group_norm_detail {
namespace {

constexpr std::int64_t kBlockRows = 64;  // rows summed in f32 before they are added to f64 totals
constexpr std::int64_t kChunks = 16;     // of an image; fixed, so that sums do not depend on the number of threads

template <class T>
const T* row_of(const Pixels& p, std::int64_t image, std::int64_t row) {
  return p.data ? static_cast<const T*>(p.data) + image * p.image_stride + row * p.pitch : nullptr;
}

/// Calls use(c, g) for every channel with the gradient g before the activation.
template <class T, class Use>
void for_passed(const T* gy, const T* relu_result, std::int64_t channels, Use&& use) {
  if (relu_result) {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto g = static_cast<float>(gy[c]);  // read in any case, or the loop does not vectorise
      use(c, static_cast<float>(relu_result[c]) > 0.f ? g : 0.f);
    }
  } else {
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) use(c, static_cast<float>(gy[c]));
  }
}

template <class T>
void write(T& to, float beta, float gradient) {
  store(to, beta == 0 ? gradient : beta * static_cast<float>(to) + gradient);
}

/// Per channel: sum of g, then sum of g * n.
using Sums = std::vector<double>;

/// Mean and rstd of the group of every channel.
struct ChannelStatistics {
  ChannelStatistics(const Backward& a, std::int64_t image) : mean(a.x.channels), rstd(a.x.channels) {
    const std::int64_t width = a.x.channels / a.groups;
    for (std::int64_t c = 0; c < a.x.channels; ++c) {
      mean[c] = a.mean[image * a.groups + c / width];
      rstd[c] = a.rstd[image * a.groups + c / width];
    }
  }
  std::vector<float> mean, rstd;
};

template <class T>
void add_rows(const Backward& a, std::int64_t image, const ChannelStatistics& statistics, std::int64_t first,
              std::int64_t last, Sums& sums) {
  const std::int64_t channels = a.x.channels;
  const float* const mean = statistics.mean.data();
  const float* const rstd = statistics.rstd.data();
  std::vector<float> block(2 * channels);
  float* const sum_g = block.data();
  float* const sum_gn = sum_g + channels;
  for (std::int64_t start = first; start < last; start += kBlockRows) {
    std::fill(block.begin(), block.end(), 0.f);
    for (std::int64_t row = start; row < std::min(start + kBlockRows, last); ++row) {
      const T* x = row_of<T>(a.x, image, row);
      const T* gy = row_of<T>(a.gy, image, row);
      const T* y = row_of<T>(a.relu_result, image, row);
      for_passed(gy, y, channels, [=](std::int64_t c, float g) {
        sum_g[c] += g;
        sum_gn[c] += g * ((static_cast<float>(x[c]) - mean[c]) * rstd[c]);
      });
    }
    for (std::int64_t c = 0; c < 2 * channels; ++c) sums[c] += block[c];
  }
}

template <class T>
Sums image_sums(const Backward& a, std::int64_t image) {
  const std::int64_t channels = a.x.channels;
  const ChannelStatistics statistics(a, image);
  std::vector<Sums> parts(kChunks, Sums(2 * channels));
  cpu::parallel_for(kChunks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      add_rows<T>(a, image, statistics, a.x.rows * i / kChunks, a.x.rows * (i + 1) / kChunks, parts[i]);
  });
  Sums all(2 * channels);
  for (const Sums& part : parts)
    for (std::size_t c = 0; c < all.size(); ++c) all[c] += part[c];
  return all;
}

/// gx = g * slope + (x - centre) * curve + offset, one of each a channel.
struct Map {
  std::vector<float> slope, centre, curve, offset;
};

Map input_map(const Backward& a, std::int64_t image, const Sums& sums) {
  const std::int64_t channels = a.x.channels, width = channels / a.groups;
  const double count = static_cast<double>(width) * static_cast<double>(a.x.rows);
  Map map{std::vector<float>(channels), std::vector<float>(channels), std::vector<float>(channels),
          std::vector<float>(channels)};
  for (std::int64_t group = 0; group < a.groups; ++group) {
    const float mean = a.mean[image * a.groups + group];
    const double rstd = a.rstd[image * a.groups + group];
    double mean_g = 0, mean_gn = 0;
    for (std::int64_t c = group * width; c < (group + 1) * width; ++c) {
      mean_g += sums[c] * a.weight[c] / count;
      mean_gn += sums[channels + c] * a.weight[c] / count;
    }
    for (std::int64_t c = group * width; c < (group + 1) * width; ++c) {
      map.slope[c] = static_cast<float>(rstd * a.weight[c]);
      map.centre[c] = mean;
      map.curve[c] = static_cast<float>(-rstd * rstd * mean_gn);
      map.offset[c] = static_cast<float>(-rstd * mean_g);
    }
  }
  return map;
}

template <class T>
void write_input(const Backward& a, std::int64_t image, const Map& map) {
  const std::int64_t channels = a.x.channels;
  const float *slope = map.slope.data(), *centre = map.centre.data();
  const float *curve = map.curve.data(), *offset = map.offset.data();
  const float beta = a.gx.beta;
  cpu::parallel_for(a.x.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = row_of<T>(a.x, image, row);
      const T* gy = row_of<T>(a.gy, image, row);
      const T* y = row_of<T>(a.relu_result, image, row);
      T* to = a.gx.to.as<T>() + (image * a.x.rows + row) * channels;
      for_passed(gy, y, channels, [=](std::int64_t c, float g) {
        write(to[c], beta, g * slope[c] + ((static_cast<float>(x[c]) - centre[c]) * curve[c] + offset[c]));
      });
    }
  });
}

void write_parameter(const Gradient& gradient, const double* sum, std::int64_t channels) {
  if (!gradient.to) return;
  float* to = gradient.to.as<float>();
  for (std::int64_t c = 0; c < channels; ++c)
    to[c] = static_cast<float>((gradient.beta == 0 ? 0.0 : static_cast<double>(gradient.beta) * to[c]) + sum[c]);
}

template <class T>
void backward(const Backward& a) {
  const std::int64_t channels = a.x.channels;
  Sums total(2 * channels);
  for (std::int64_t image = 0; image < a.x.images; ++image) {
    const Sums sums = image_sums<T>(a, image);
    for (std::size_t c = 0; c < total.size(); ++c) total[c] += sums[c];
    if (a.gx.to) write_input<T>(a, image, input_map(a, image, sums));
  }
  write_parameter(a.gbias, total.data(), channels);
  write_parameter(a.gweight, total.data() + channels, channels);
}

// The sums of a normalisation that changes nothing: mean 0, rstd 1.
template <class T>
void affine_parameters(const AffineBackward& a) {
  const std::vector<float> zeros(a.gy.images), ones(a.gy.images, 1.f);
  backward<T>({.x = a.x,
               .gy = a.gy,
               .relu_result = a.relu_result,
               .weight = a.scale,
               .mean = zeros.data(),
               .rstd = ones.data(),
               .groups = 1,
               .gx = {},
               .gweight = a.gscale,
               .gbias = a.gshift,
               .partial = nullptr,
               .maps = nullptr,
               .sum_scratch = nullptr});
}

template <class T>
void affine_maps(const AffineBackward& a) {
  const std::int64_t channels = a.gy.channels;
  cpu::parallel_for(a.gy.images * a.gy.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / a.gy.rows, row = i % a.gy.rows;
      const T* gy = row_of<T>(a.gy, image, row);
      const T* y = row_of<T>(a.relu_result, image, row);
      const float* scale = a.scale + image * a.scale_stride;
      if (a.gx)
        for_passed(gy, y, channels,
                   [to = a.gx.to.as<T>() + i * channels, beta = a.gx.beta, scale](std::int64_t c, float g) {
                     write(to[c], beta, g * scale[c]);
                   });
      if (a.gresidual)
        for_passed(gy, y, channels,
                   [to = a.gresidual.to.as<T>() + i * channels, beta = a.gresidual.beta](std::int64_t c, float g) {
                     write(to[c], beta, g);
                   });
    }
  });
}

}  // namespace

void backward_cpu(const Backward& a) { a.x.dtype == DType::f32 ? backward<float>(a) : backward<BFloat16>(a); }

void affine_backward_cpu(const AffineBackward& a) {
  const bool f32 = a.gy.dtype == DType::f32;
  if (a.gx || a.gresidual) f32 ? affine_maps<float>(a) : affine_maps<BFloat16>(a);
  if (a.gscale || a.gshift) f32 ? affine_parameters<float>(a) : affine_parameters<BFloat16>(a);
}

}  // namespace visage::ops::group_norm_detail
