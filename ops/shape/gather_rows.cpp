#include "ops/shape/gather_rows.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/shape/gather_rows_kernels.h"

namespace visage::ops {
namespace {

void check_inputs(const Tensor& x, const Tensor& indices) {
  check<ShapeError>(x.rank() == 2 && x.stride()[1] == 1, "gather_rows: x must be [R, C] with contiguous columns; got ",
                    x.size(), ", stride ", x.stride());
  check<DTypeError>(x.dtype() == DType::f32 || x.dtype() == DType::u8 || x.dtype() == DType::boolean,
                    "gather_rows: x must be f32, u8 or bool; got ", x.dtype());
  check<ShapeError>(indices.rank() == 1 && indices.is_contiguous(), "gather_rows: indices must be contiguous [M]; got ",
                    indices.size());
  check<DTypeError>(indices.dtype() == DType::i64, "gather_rows: indices must be i64; got ", indices.dtype());
  check<DeviceError>(indices.device() == x.device(), "gather_rows: x and indices must be on one device");
  if (x.device().type != DeviceType::cpu) return;
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int64_t index = indices.data<std::int64_t>()[i];
    check<ShapeError>(index >= 0 && index < x.size(0), "gather_rows: index ", index, " of ", x.size(0), " rows");
  }
}

}  // namespace

Tensor gather_rows(const Tensor& x, const Tensor& indices) {
  check_inputs(x, indices);
  Tensor y = Tensor::empty({indices.numel(), x.size(1)}, x.dtype(), x.device());
  const gather_rows_detail::Forward forward{x.view(), indices.view(), y.view()};
  note_work(0, y, y, indices);
  on_device(
      x.device(), [&] { gather_rows_detail::forward_cpu(forward); },
      [&](StreamHandle stream) { gather_rows_detail::forward_cuda(forward, stream); });
  if (x.dtype() != DType::f32) {
    autograd::not_differentiable("gather_rows of integers", {x});
    return y;
  }
  autograd::record("gather_rows", {&x, 1}, y, [indices](const Tensor& gy, std::span<const autograd::GradTarget> to) {
    const gather_rows_detail::Backward args{gy.view(), indices.view(), gradient_of(to, 0)};
    note_work(0, gy, gy, indices);
    on_device(
        gy.device(), [&] { gather_rows_detail::backward_cpu(args); },
        [&](StreamHandle stream) { gather_rows_detail::backward_cuda(args, stream); });
  });
  return y;
}

}  // namespace visage::ops
