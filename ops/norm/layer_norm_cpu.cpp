// Rows are independent, so they are shared out among the threads. A row of a few hundred channels stays in the L1 cache
// for its three passes, so each element moves through memory once. Plain loops: the compiler vectorises them.
#include "ops/norm/layer_norm_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops::layer_norm_detail {
namespace {

constexpr std::int64_t kGrain = 16 * 1024;  // elements worth starting a thread for

std::int64_t rows_of(const View& x) { return x.size.numel() / x.size[-1]; }
std::int64_t row_grain(std::int64_t channels) { return std::max<std::int64_t>(kGrain / channels, 1); }

/// Row `row` of x (+ residual) as floats: in place where that is what memory holds, else in `scratch`.
template <class T>
const float* load_row(const View& x, const View& residual, std::int64_t row, float* scratch) {
  const std::int64_t channels = x.size[-1];
  const T* const from = x.as<const T>() + row * channels;
  if (residual) {
    const T* const added = residual.as<const T>() + row * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      scratch[c] = static_cast<float>(from[c]) + static_cast<float>(added[c]);
    }
    return scratch;
  }
  if constexpr (std::is_same_v<T, float>) {
    return from;
  } else {
    for (std::int64_t c = 0; c < channels; ++c) scratch[c] = static_cast<float>(from[c]);
    return scratch;
  }
}

// Sum of value(c) over the channels in 32 lanes: one running sum would wait for each addition.
template <class Value>
float sum_of(std::int64_t channels, const Value& value) {
  constexpr std::int64_t kLanes = 32;
  float lanes[kLanes] = {};
  std::int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    for (std::int64_t i = 0; i < kLanes; ++i) lanes[i] += value(c + i);
  for (; c < channels; ++c) lanes[c % kLanes] += value(c);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

float mean_of(const float* x, std::int64_t channels) {
  return sum_of(channels, [x](std::int64_t c) { return x[c]; }) / static_cast<float>(channels);
}

float variance_of(const float* x, float mean, std::int64_t channels) {
  return sum_of(channels, [=](std::int64_t c) { return (x[c] - mean) * (x[c] - mean); }) / static_cast<float>(channels);
}

template <class T>
void forward(const Forward& args) {
  const std::int64_t channels = args.x.size[-1];
  const float* const weight = args.weight.as<const float>();
  const float* const bias = args.bias.as<const float>();
  cpu::parallel_for(rows_of(args.x), row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(channels);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* const x = load_row<T>(args.x, args.residual, row, scratch.data());
      const float mean = mean_of(x, channels);
      const float rstd = 1.f / std::sqrt(variance_of(x, mean, channels) + args.eps);
      T* const y = args.y.as<T>() + row * channels;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) store(y[c], (x[c] - mean) * rstd * weight[c] + bias[c]);
      if (args.mean) {
        args.mean.as<float>()[row] = mean;
        args.rstd.as<float>()[row] = rstd;
      }
    }
  });
}

template <class T>
void write_gradient(const Gradient& gradient, std::int64_t offset, const float* values, std::int64_t count) {
  if (!gradient.to) return;
  T* const to = gradient.to.as<T>() + offset;
  if (gradient.beta == 0) {
    for (std::int64_t c = 0; c < count; ++c) store(to[c], values[c]);
  } else {
    for (std::int64_t c = 0; c < count; ++c) store(to[c], gradient.beta * static_cast<float>(to[c]) + values[c]);
  }
}

/// With n = (x - mean) * rstd and g = gy * weight:   gx = rstd * (g - mean(g) - n * mean(g * n)).
template <class T>
void backward_input(const Backward& args) {
  if (!args.gx.to && !args.gresidual.to) return;
  const std::int64_t channels = args.x.size[-1];
  const float* const weight = args.weight.as<const float>();
  cpu::parallel_for(rows_of(args.x), row_grain(channels), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(channels), result(channels);
    for (std::int64_t row = begin; row < end; ++row) {
      const float* const x = load_row<T>(args.x, args.residual, row, scratch.data());
      const T* const gy = args.gy.as<const T>() + row * channels;
      const float mean = args.mean.as<const float>()[row];
      const float rstd = args.rstd.as<const float>()[row];
      float sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
      for (std::int64_t c = 0; c < channels; ++c) {
        const float g = static_cast<float>(gy[c]) * weight[c];
        sum_g += g;
        sum_gn += g * ((x[c] - mean) * rstd);
      }
      const float mean_g = sum_g / static_cast<float>(channels);
      const float mean_gn = sum_gn / static_cast<float>(channels);
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) {
        const float n = (x[c] - mean) * rstd;
        result[c] = rstd * (static_cast<float>(gy[c]) * weight[c] - mean_g - n * mean_gn);
      }
      write_gradient<T>(args.gx, row * channels, result.data(), channels);
      write_gradient<T>(args.gresidual, row * channels, result.data(), channels);
    }
  });
}

constexpr std::int64_t kBlockRows = 64;  // rows summed in f32 before they are added to an f64 total
constexpr std::int64_t kWidth = 32;      // channels of a task: two cache lines of f32

/// Sums of gy * n and of gy over rows [begin, end) for `width` channels from `first`.
template <class T>
void sum_rows(const Backward& args, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t width,
              float* weight_sum, float* bias_sum) {
  const std::int64_t channels = args.x.size[-1];
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t at = row * channels + first;
    const T* const gy = args.gy.as<const T>() + at;
    const T* const x = args.x.as<const T>() + at;
    const T* const residual = args.residual ? args.residual.as<const T>() + at : nullptr;
    const float mean = args.mean.as<const float>()[row];
    const float rstd = args.rstd.as<const float>()[row];
    for (std::int64_t c = 0; c < width; ++c) {
      const float sum = static_cast<float>(x[c]) + (residual ? static_cast<float>(residual[c]) : 0.f);
      bias_sum[c] += static_cast<float>(gy[c]);
      weight_sum[c] += static_cast<float>(gy[c]) * ((sum - mean) * rstd);
    }
  }
}

/// gweight = sum over rows of gy * n, gbias = sum of gy. The threads share out the channels, so the result does not
/// depend on how many threads there are.
template <class T>
void backward_parameters(const Backward& args) {
  if (!args.gweight.to && !args.gbias.to) return;
  const std::int64_t channels = args.x.size[-1];
  const std::int64_t rows = rows_of(args.x);
  cpu::parallel_for((channels + kWidth - 1) / kWidth, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task * kWidth;
      const std::int64_t width = std::min(kWidth, channels - first);
      double weight_total[kWidth] = {}, bias_total[kWidth] = {};
      for (std::int64_t start = 0; start < rows; start += kBlockRows) {
        float weight_sum[kWidth] = {}, bias_sum[kWidth] = {};
        sum_rows<T>(args, start, std::min(start + kBlockRows, rows), first, width, weight_sum, bias_sum);
        for (std::int64_t c = 0; c < width; ++c) {
          weight_total[c] += weight_sum[c];
          bias_total[c] += bias_sum[c];
        }
      }
      float weight[kWidth], bias[kWidth];
      std::copy_n(weight_total, kWidth, weight);
      std::copy_n(bias_total, kWidth, bias);
      write_gradient<float>(args.gweight, first, weight, width);
      write_gradient<float>(args.gbias, first, bias, width);
    }
  });
}

/// Calls fn(T{}) with the element type; the op has refused every other.
template <class Fn>
void for_dtype(DType dtype, Fn&& fn) {
  if (dtype == DType::bf16) return fn(BFloat16{});
  if (dtype == DType::f16) return fn(Half{});
  fn(float{});
}

}  // namespace

void forward_cpu(const Forward& args) {
  for_dtype(args.x.dtype, [&]<class T>(T) { forward<T>(args); });
}

void backward_cpu(const Backward& args) {
  for_dtype(args.x.dtype, [&]<class T>(T) {
    backward_input<T>(args);
    backward_parameters<T>(args);
  });
}

}  // namespace visage::ops::layer_norm_detail
