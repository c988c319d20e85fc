#include "ops/optim/gradient_norm.h"

#include "ops/dispatch.h"
#include "ops/optim/optim_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops {

double global_norm(std::span<const Tensor> tensors) {
  std::vector<FloatSpan> spans;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const Tensor& tensor = tensors[t];
    if (!tensor) continue;
    check<DTypeError>(tensor.dtype() == DType::f32, "global_norm: tensor ", t, " must be f32; got ", tensor.dtype());
    check<ShapeError>(tensor.is_contiguous(), "global_norm: tensor ", t, " must be contiguous; size ", tensor.size(),
                      ", stride ", tensor.stride());
    on_cpu("global_norm", tensor.device(), [&] {
      for (std::int64_t first = 0; first < tensor.numel(); first += kOptimChunk)
        spans.push_back({tensor.data<float>() + first, std::min(kOptimChunk, tensor.numel() - first)});
    });
  }
  return std::sqrt(sum_of_squares_cpu(spans.data(), std::ssize(spans)));
}

double clip_coefficient(double norm, double max_norm) { return std::min(1., max_norm / (norm + 1e-6)); }

std::optional<std::size_t> first_non_finite(std::span<const Tensor> tensors) {
  for (std::size_t t = 0; t < tensors.size(); ++t)
    if (tensors[t] && !std::isfinite(global_norm(tensors.subspan(t, 1)))) return t;
  return std::nullopt;
}

}  // namespace visage::ops
