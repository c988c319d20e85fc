#include "ops/gradient/gradient_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <vector>

namespace visage::ops::gradient_detail {
namespace {

constexpr std::int64_t kGrain = 1 << 15;  // elements worth a second thread

/// Calls fn(T{}) with the element type; the ops have refused every other.
template <class Fn>
void for_dtype(DType dtype, Fn&& fn) {
  dtype == DType::bf16 ? fn(BFloat16{}) : fn(float{});
}

bool is_contiguous(const View& v) { return v.stride == contiguous_strides(v.size); }

/// One row of elements `from_step` and `to_step` apart.
template <class From, class To>
void accumulate_row(const From* from, std::int64_t from_step, To* to, std::int64_t to_step, std::int64_t count,
                    float factor, float beta) {
  if (beta == 0) {
    for (std::int64_t i = 0; i < count; ++i) store(to[i * to_step], factor * static_cast<float>(from[i * from_step]));
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    To& slot = to[i * to_step];
    store(slot, beta * static_cast<float>(slot) + factor * static_cast<float>(from[i * from_step]));
  }
}

template <class From, class To>
void accumulate_dense(const Accumulate& a) {
  cpu::parallel_for(a.from.size.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    accumulate_row(a.from.as<const From>() + begin, 1, a.gradient.to.as<To>() + begin, 1, end - begin, a.factor,
                   a.gradient.beta);
  });
}

template <class From, class To>
void accumulate_strided(const Accumulate& a) {
  const Dims& size = a.from.size;
  const Dims& from_stride = a.from.stride;
  const Dims& to_stride = a.gradient.to.stride;
  const std::int64_t inner = size[-1];
  cpu::parallel_for(inner ? size.numel() / inner : 0,
                    std::max<std::int64_t>(kGrain / std::max<std::int64_t>(inner, 1), 1),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t row = begin; row < end; ++row) {
                        std::int64_t from = 0, to = 0, rest = row;
                        for (int axis = size.rank - 1; axis-- > 0;) {
                          from += rest % size[axis] * from_stride[axis];
                          to += rest % size[axis] * to_stride[axis];
                          rest /= size[axis];
                        }
                        accumulate_row(a.from.as<const From>() + from, from_stride[-1], a.gradient.to.as<To>() + to,
                                       to_stride[-1], inner, a.factor, a.gradient.beta);
                      }
                    });
}

constexpr std::int64_t kBlockRows = 64;  // rows summed in f32 before they are added to f64 totals
constexpr std::int64_t kChunks = 16;     // of the rows; fixed, so that sums do not depend on the number of threads
constexpr std::int64_t kWidth = 4096;    // columns that are summed together: their sums stay in the cache

/// total[c] += sum of from[row, first + c] over rows [begin, end).
template <class From>
void add_rows(const View& from, std::int64_t columns, std::int64_t first, std::int64_t begin, std::int64_t end,
              std::vector<double>& total) {
  const auto width = static_cast<std::int64_t>(total.size());
  std::vector<float> sums(width);
  float* const sum = sums.data();
  for (std::int64_t start = begin; start < end; start += kBlockRows) {
    std::fill(sums.begin(), sums.end(), 0.f);
    for (std::int64_t row = start; row < std::min(start + kBlockRows, end); ++row) {
      const From* in = from.as<const From>() + row * columns + first;
#pragma omp simd
      for (std::int64_t c = 0; c < width; ++c) sum[c] += static_cast<float>(in[c]);
    }
    for (std::int64_t c = 0; c < width; ++c) total[c] += sum[c];
  }
}

template <class From, class To>
void sum_rows(const SumRows& a) {
  const std::int64_t columns = a.gradient.to.size.numel();
  if (columns == 0) return;
  const std::int64_t rows = a.from.size.numel() / columns;
  const std::int64_t chunks = std::clamp<std::int64_t>(rows / kBlockRows, 1, kChunks);
  for (std::int64_t first = 0; first < columns; first += kWidth) {
    const std::int64_t width = std::min(kWidth, columns - first);
    std::vector<std::vector<double>> parts(chunks, std::vector<double>(width));
    const std::int64_t grain = std::max<std::int64_t>(kGrain * chunks / std::max<std::int64_t>(rows * width, 1), 1);
    cpu::parallel_for(chunks, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        add_rows<From>(a.from, columns, first, rows * i / chunks, rows * (i + 1) / chunks, parts[i]);
    });
    To* const to = a.gradient.to.as<To>() + first;
    for (std::int64_t c = 0; c < width; ++c) {
      double sum = a.gradient.beta == 0 ? 0.0 : static_cast<double>(a.gradient.beta * static_cast<float>(to[c]));
      for (const auto& part : parts) sum += part[c];
      store(to[c], static_cast<float>(sum));
    }
  }
}

template <class T, class To>
void relu(const Relu& a) {
  const float beta = a.gradient.beta;
  cpu::parallel_for(a.y.size.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    const T* gy = a.gy.as<const T>();
    const T* y = a.y.as<const T>();
    To* to = a.gradient.to.as<To>();
    // gy is read in any case, or the loops do not vectorise.
    if (beta == 0) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const auto g = static_cast<float>(gy[i]);
        store(to[i], static_cast<float>(y[i]) > 0.f ? g : 0.f);
      }
    } else {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const auto g = static_cast<float>(gy[i]);
        store(to[i], beta * static_cast<float>(to[i]) + (static_cast<float>(y[i]) > 0.f ? g : 0.f));
      }
    }
  });
}

}  // namespace

void accumulate_cpu(const Accumulate& a) {
  for_dtype(a.from.dtype, [&]<class From>(From) {
    for_dtype(a.gradient.to.dtype, [&]<class To>(To) {
      is_contiguous(a.from) && is_contiguous(a.gradient.to) ? accumulate_dense<From, To>(a)
                                                            : accumulate_strided<From, To>(a);
    });
  });
}

void sum_rows_cpu(const SumRows& a) {
  for_dtype(a.from.dtype,
            [&]<class From>(From) { for_dtype(a.gradient.to.dtype, [&]<class To>(To) { sum_rows<From, To>(a); }); });
}

void relu_cpu(const Relu& a) {
  for_dtype(a.y.dtype, [&]<class T>(T) { for_dtype(a.gradient.to.dtype, [&]<class To>(To) { relu<T, To>(a); }); });
}

}  // namespace visage::ops::gradient_detail
