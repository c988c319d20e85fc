#include "ops/elementwise/elementwise_kernels.h"
#include "tensor/cpu/parallel.h"
#include "tensor/float16.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops::elementwise_detail {
namespace {

constexpr std::int64_t kGrain = 1 << 15;  // elements worth a second thread

template <class From, class To>
void convert(const View& x, const View& out) {
  cpu::parallel_for(x.size.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) store(out.as<To>()[i], static_cast<float>(x.as<From>()[i]));
  });
}

}  // namespace

void add_cpu(const View& x, const View& y, const View& out) {
  const std::int64_t period = std::max<std::int64_t>(y.size.numel(), 1);
  cpu::parallel_for(x.size.numel() / period, std::max<std::int64_t>(kGrain / period, 1),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r)
                        for (std::int64_t i = 0; i < period; ++i)
                          out.as<float>()[r * period + i] = x.as<float>()[r * period + i] + y.as<float>()[i];
                    });
}

void relu_cpu(const View& x, const View& out) {
  cpu::parallel_for(x.size.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) out.as<float>()[i] = std::max(x.as<float>()[i], 0.f);
  });
}

void cast_cpu(const View& x, const View& out) {
  x.dtype == DType::f32 ? convert<float, BFloat16>(x, out) : convert<BFloat16, float>(x, out);
}

void softmax_cpu(const View& x, const View& out) {
  const std::int64_t columns = x.size[-1];
  cpu::parallel_for(columns ? x.size.numel() / columns : 0,
                    std::max<std::int64_t>(kGrain / std::max<std::int64_t>(columns, 1), 1),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r) {
                        const float* row = x.as<float>() + r * columns;
                        float* to = out.as<float>() + r * columns;
                        const float peak = *std::max_element(row, row + columns);
                        float total = 0;
                        for (std::int64_t c = 0; c < columns; ++c) total += to[c] = std::exp(row[c] - peak);
                        for (std::int64_t c = 0; c < columns; ++c) to[c] /= total;
                      }
                    });
}

void softmax_backward_cpu(const View& gy, const View& y, const Gradient& gx) {
  const std::int64_t columns = y.size[-1];
  const std::int64_t rows = columns ? y.size.numel() / columns : 0;
  const std::int64_t grain = std::max<std::int64_t>(kGrain / std::max<std::int64_t>(columns, 1), 1);
  cpu::parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* up = gy.as<const float>() + r * columns;
      const float* p = y.as<const float>() + r * columns;
      float* to = gx.to.as<float>() + r * columns;
      float along = 0;
#pragma omp simd reduction(+ : along)
      for (std::int64_t c = 0; c < columns; ++c) along += up[c] * p[c];
      for (std::int64_t c = 0; c < columns; ++c) {
        const float g = p[c] * (up[c] - along);
        to[c] = gx.beta == 0 ? g : gx.beta * to[c] + g;
      }
    }
  });
}

void sum_all_cpu(const View& x, const View& out) {
  constexpr std::int64_t kBlock = 1 << 12;  // fixed, so that the result does not depend on the number of threads
  const std::int64_t count = x.size.numel();
  std::vector<double> partial((count + kBlock - 1) / kBlock);
  cpu::parallel_for(static_cast<std::int64_t>(partial.size()), kGrain / kBlock,
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t b = begin; b < end; ++b)
                        for (std::int64_t i = b * kBlock; i < std::min(count, (b + 1) * kBlock); ++i)
                          partial[b] += x.as<const float>()[i];
                    });
  double total = 0;
  for (const double part : partial) total += part;
  *out.as<float>() = static_cast<float>(total);
}

void permute_cpu(const View& x, const Dims& order, const View& out) {
  const int rank = order.rank;
  Dims stride = order;  // of the source, in the order of the result's axes
  for (int i = 0; i < rank; ++i) stride[i] = x.stride[static_cast<int>(order[i])];
  const std::int64_t inner = rank ? out.size[-1] : 1, step = rank ? stride[-1] : 1;
  cpu::parallel_for(inner ? out.size.numel() / inner : 0,
                    std::max<std::int64_t>(kGrain / std::max<std::int64_t>(inner, 1), 1),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r) {
                        std::int64_t offset = 0, rest = r;
                        for (int i = rank - 1; i-- > 0;) {
                          offset += rest % out.size[i] * stride[i];
                          rest /= out.size[i];
                        }
                        const float* from = x.as<float>() + offset;
                        float* to = out.as<float>() + r * inner;
                        for (std::int64_t i = 0; i < inner; ++i) to[i] = from[i * step];
                      }
                    });
}

}  // namespace visage::ops::elementwise_detail
