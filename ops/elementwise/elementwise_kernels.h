#pragma once
#include "tensor/view.h"

namespace visage::ops::elementwise_detail {

void add_cpu(const View& x, const View& y, const View& out);
void relu_cpu(const View& x, const View& out);
void cast_cpu(const View& x, const View& out);
void softmax_cpu(const View& x, const View& out);
void permute_cpu(const View& x, const Dims& order, const View& out);

}  // namespace visage::ops::elementwise_detail
