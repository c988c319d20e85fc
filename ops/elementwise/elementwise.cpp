#include "ops/elementwise/elementwise.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/elementwise/elementwise_kernels.h"

#include <cstring>

namespace visage::ops {
namespace {

using namespace elementwise_detail;

void check_f32(const char* op, const Tensor& x) {
  check<DTypeError>(x.dtype() == DType::f32, op, ": needs f32; got ", x.dtype());
  check<ShapeError>(x.is_contiguous(), op, ": needs a contiguous tensor; size ", x.size(), ", stride ", x.stride());
}

}  // namespace

Tensor add(const Tensor& x, const Tensor& y) {
  check_f32("add", x);
  check_f32("add", y);
  bool suffix = y.rank() <= x.rank();
  for (int i = 1; suffix && i <= y.rank(); ++i) suffix = y.size(-i) == x.size(-i);
  check<ShapeError>(suffix, "add: the size of y must end the size of x; x ", x.size(), ", y ", y.size());
  autograd::not_differentiable("add", {x, y});
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  on_cpu("add", x.device(), [&] { add_cpu(x.view(), y.view(), out.view()); });
  return out;
}

Tensor relu(const Tensor& x) {
  check_f32("relu", x);
  autograd::not_differentiable("relu", {x});
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  on_cpu("relu", x.device(), [&] { relu_cpu(x.view(), out.view()); });
  return out;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const auto supported = [](DType type) { return type == DType::f32 || type == DType::bf16; };
  check<DTypeError>(supported(x.dtype()) && supported(dtype), "cast: from ", x.dtype(), " to ", dtype);
  check<ShapeError>(x.is_contiguous(), "cast: x must be contiguous; size ", x.size());
  autograd::not_differentiable("cast", {x});
  Tensor out = Tensor::empty(x.size(), dtype, x.device());
  on_cpu("cast", x.device(), [&] { cast_cpu(x.view(), out.view()); });
  return out;
}

Tensor repeat_batch(const Tensor& x, std::int64_t batch) {
  check_f32("repeat_batch", x);
  check<ShapeError>(x.rank() == 2, "repeat_batch: x must be [Q,C]; got ", x.size());
  autograd::not_differentiable("repeat_batch", {x});
  Tensor out = Tensor::empty({batch, x.size(0), x.size(1)}, x.dtype(), x.device());
  on_cpu("repeat_batch", x.device(), [&] {
    for (std::int64_t n = 0; n < batch; ++n)
      std::memcpy(out.data<float>() + n * x.numel(), x.data<float>(), x.nbytes());
  });
  return out;
}

Tensor softmax(const Tensor& x) {
  check_f32("softmax", x);
  autograd::not_differentiable("softmax", {x});
  Tensor out = Tensor::empty(x.size(), x.dtype(), x.device());
  on_cpu("softmax", x.device(), [&] { softmax_cpu(x.view(), out.view()); });
  return out;
}

Tensor permute(const Tensor& x, const Dims& order) {
  check<DTypeError>(x.dtype() == DType::f32, "permute: needs f32; got ", x.dtype());
  Dims size = order;
  bool seen[kMaxRank] = {};
  for (int i = 0; i < order.rank; ++i) {
    check<ShapeError>(order.rank == x.rank() && order[i] >= 0 && order[i] < x.rank() && !seen[order[i]],
                      "permute: ", order, " is no permutation of the axes of ", x.size());
    seen[order[i]] = true;
    size[i] = x.size(static_cast<int>(order[i]));
  }
  autograd::not_differentiable("permute", {x});
  Tensor out = Tensor::empty(size, x.dtype(), x.device());
  on_cpu("permute", x.device(), [&] { permute_cpu(x.view(), order, out.view()); });
  return out;
}

}  // namespace visage::ops
