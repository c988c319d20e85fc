#pragma once
#include "ops/gradient/gradient.h"

namespace visage::ops::elementwise_detail {

void add_cpu(const View& x, const View& y, const View& out);
void relu_cpu(const View& x, const View& out);
void cast_cpu(const View& x, const View& out);
void softmax_cpu(const View& x, const View& out);
/// With y = softmax(x):   gx = y * (gy - sum(gy * y)).
void softmax_backward_cpu(const View& gy, const View& y, const Gradient& gx);
void permute_cpu(const View& x, const Dims& order, const View& out);
void sum_all_cpu(const View& x, const View& out);

}  // namespace visage::ops::elementwise_detail
