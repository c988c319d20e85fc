#include "ops/shape/gather_rows.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"

#include <algorithm>
#include <vector>

namespace visage::ops {
namespace {

void scatter_add(const Tensor& gy, const std::vector<std::int64_t>& rows, const autograd::GradTarget& target) {
  const Tensor to = target.buffer();
  const std::int64_t columns = gy.size(1);
  if (target.beta() == 0) std::fill_n(to.data<float>(), to.numel(), 0.f);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* from = gy.data<float>() + static_cast<std::int64_t>(i) * columns;
    float* row = to.data<float>() + rows[i] * columns;
    for (std::int64_t c = 0; c < columns; ++c) row[c] += from[c];
  }
  target.done();
}

}  // namespace

Tensor gather_rows(const Tensor& x, std::span<const std::int64_t> indices) {
  check<ShapeError>(x.rank() == 2 && x.dtype() == DType::f32 && x.stride()[1] == 1,
                    "gather_rows: x must be f32 [R, C] with contiguous columns; got ", x.size());
  for (const std::int64_t index : indices)
    check<ShapeError>(index >= 0 && index < x.size(0), "gather_rows: index ", index, " of ", x.size(0), " rows");
  const std::int64_t columns = x.size(1);
  Tensor y = Tensor::empty({static_cast<std::int64_t>(indices.size()), columns}, DType::f32, x.device());
  on_cpu("gather_rows", x.device(), [&] {
    for (std::size_t i = 0; i < indices.size(); ++i)
      std::copy_n(x.data<float>() + indices[i] * x.stride()[0], columns,
                  y.data<float>() + static_cast<std::int64_t>(i) * columns);
  });
  const Tensor inputs[] = {x};
  autograd::record("gather_rows", inputs, y,
                   [rows = std::vector(indices.begin(), indices.end())](const Tensor& gy,
                                                                        std::span<const autograd::GradTarget> targets) {
                     if (targets[0].needed()) scatter_add(gy, rows, targets[0]);
                   });
  return y;
}

}  // namespace visage::ops
