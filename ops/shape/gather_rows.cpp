#include "ops/shape/gather_rows.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/shape/gather_rows_kernels.h"

#include <vector>

namespace visage::ops {

Tensor gather_rows(const Tensor& x, std::span<const std::int64_t> indices) {
  check<ShapeError>(x.rank() == 2 && x.dtype() == DType::f32 && x.stride()[1] == 1,
                    "gather_rows: x must be f32 [R, C] with contiguous columns; got ", x.size());
  for (const std::int64_t index : indices)
    check<ShapeError>(index >= 0 && index < x.size(0), "gather_rows: index ", index, " of ", x.size(0), " rows");
  const auto count = static_cast<std::int64_t>(indices.size());
  Tensor y = Tensor::empty({count, x.size(1)}, DType::f32, x.device());
  const gather_rows_detail::Forward forward{x.view(), y.view(), indices.data(), count};
  note_work(0, y, y);
  on_device(
      x.device(), [&] { gather_rows_detail::forward_cpu(forward); },
      [&](StreamHandle stream) { gather_rows_detail::forward_cuda(forward, stream); });
  autograd::record("gather_rows", {&x, 1}, y,
                   [rows = std::vector(indices.begin(), indices.end()), count](
                       const Tensor& gy, std::span<const autograd::GradTarget> targets) {
                     const gather_rows_detail::Backward args{gy.view(), gradient_of(targets, 0), rows.data(), count};
                     note_work(0, gy, gy);
                     on_device(
                         gy.device(), [&] { gather_rows_detail::backward_cpu(args); },
                         [&](StreamHandle stream) { gather_rows_detail::backward_cuda(args, stream); });
                   });
  return y;
}

}  // namespace visage::ops
