#include "ops/gradient/targets.h"

#include "ops/autocast.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"

namespace visage::ops {

View view_or_empty(const Tensor& tensor) { return tensor ? tensor.view() : View{}; }

bool wants(Targets targets, std::size_t i) { return i < targets.size() && targets[i].needed(); }

void accumulate(const char* op, const Tensor& from, Targets targets, std::size_t i, float factor) {
  if (!wants(targets, i)) return;
  const Gradient gradient = gradient_of(targets, i);
  on_cpu(op, from.device(), [&] { gradient_detail::accumulate_cpu({from.view(), gradient, factor}); });
}

void accumulate_rows(const char* op, const Tensor& from, Targets targets, std::size_t i) {
  if (!wants(targets, i)) return;
  const Gradient gradient = gradient_of(targets, i);
  on_cpu(op, from.device(), [&] { gradient_detail::sum_rows_cpu({from.view(), gradient}); });
}

Tensor relu_gradient(const char* op, const Tensor& gy, const Tensor& y, DType dtype) {
  const Tensor result = Tensor::empty(y.size(), dtype, y.device());
  on_cpu(op, y.device(), [&] { gradient_detail::relu_cpu({gy.view(), y.view(), {result.view(), 0}}); });
  return result;
}

Tensor contiguous_as(const char* op, const Tensor& x, DType dtype) {
  if (x.dtype() == dtype && x.is_contiguous()) return x;
  const Tensor result = Tensor::empty(x.size(), dtype, x.device());
  on_cpu(op, x.device(), [&] { gradient_detail::accumulate_cpu({x.view(), {result.view(), 0}}); });
  return result;
}

Tensor product_input(const char* op, const Tensor& x) {
  return x.dtype() == DType::f32 && autocast_dtype() != DType::f32 ? contiguous_as(op, x, autocast_dtype()) : x;
}

}  // namespace visage::ops
