#include "ops/norm/frozen_batch_norm_kernels.h"

#include <cmath>

namespace visage::ops::frozen_batch_norm_detail {

void fold_cpu(const Fold& a) {
  for (std::int64_t c = 0; c < a.weight.size.numel(); ++c) {
    const float deviation = std::sqrt(a.variance.as<const float>()[c] + a.eps);
    const float scale = a.weight.as<const float>()[c] / deviation;
    a.rstd.as<float>()[c] = 1 / deviation;
    a.scale.as<float>()[c] = scale;
    a.shift.as<float>()[c] = a.bias.as<const float>()[c] - a.mean.as<const float>()[c] * scale;
  }
}

void product_cpu(const Product& a) {
  for (std::int64_t c = 0; c < a.factor.size.numel(); ++c)
    a.gradient.put(c, a.sign * a.gy.as<const float>()[c] * a.factor.as<const float>()[c]);
}

}  // namespace visage::ops::frozen_batch_norm_detail
