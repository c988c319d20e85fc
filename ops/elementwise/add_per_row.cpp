#include "ops/elementwise/add_per_row.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/elementwise/add_per_row_kernels.h"

namespace visage::ops {

void add_per_row(const Tensor& x, const Tensor& shift) {
  check<ShapeError>(
      x.rank() >= 1 && x.is_contiguous() && shift.is_contiguous() && shift.numel() * x.size(-1) == x.numel(),
      "add_per_row: x must be contiguous [..., L] with one shift a row; x ", x.size(), ", shift ", shift.size());
  check<DTypeError>(x.dtype() == DType::f32 && shift.dtype() == DType::f32, "add_per_row: needs f32; x ", x.dtype(),
                    ", shift ", shift.dtype());
  check<DeviceError>(x.device() == shift.device(), "add_per_row: x and shift must be on one device");
  autograd::not_differentiable("add_per_row", {x, shift});
  if (x.numel() == 0) return;
  on_device(
      x.device(),
      [&] {
        add_per_row_detail::add_per_row_cpu({x.view(), shift.view()});
      },
      [&](StreamHandle stream) {
        add_per_row_detail::add_per_row_cuda({x.view(), shift.view()}, stream);
      });
}

}  // namespace visage::ops
