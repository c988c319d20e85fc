#include "ops/assign/assign_batch.h"

#include "autograd/tape.h"
#include "ops/assign/assign_batch_kernels.h"
#include "ops/dispatch.h"
#include "tensor/transfer.h"

#include <algorithm>
#include <limits>

namespace visage::ops {
namespace {

void check_inputs(const Tensor& cost, const Tensor& columns) {
  constexpr std::int64_t largest = std::numeric_limits<int>::max();
  check<ShapeError>(cost && cost.rank() == 3 && cost.is_contiguous(),
                    "assign_batch: cost must be contiguous [problems, rows, columns]; got ",
                    cost ? cost.size() : Dims{});
  check<ShapeError>(cost.size(0) <= largest && cost.size(1) < largest && cost.size(2) < largest,
                    "assign_batch: an axis is too long; cost ", cost.size());
  check<DTypeError>(cost.dtype() == DType::f32 || cost.dtype() == DType::f64,
                    "assign_batch: cost must be f32 or f64; got ", cost.dtype());
  if (!columns) return;
  check<ShapeError>(columns.size() == Dims{cost.size(0)} && columns.is_contiguous(),
                    "assign_batch: columns must be [problems]; got ", columns.size(), " for cost ", cost.size());
  check<DTypeError>(columns.dtype() == DType::i64, "assign_batch: columns must be i64; got ", columns.dtype());
  check<DeviceError>(columns.device() == cost.device(), "assign_batch: cost and columns must be on one device");
}

/// Problem `index` alone; false if assign() refuses it.
template <class T>
bool assign_one(const assign_detail::Batch& batch, std::int64_t index) {
  const std::int64_t rows = batch.cost.size[1], stride = batch.cost.size[2];
  const std::int64_t columns = batch.columns ? batch.columns.as<std::int64_t>()[index] : stride;
  std::int64_t* const result = batch.column_of_row.as<std::int64_t>() + index * rows;
  std::int64_t* const inverse = batch.row_of_column.as<std::int64_t>() + index * stride;
  std::fill_n(result, rows, -1);
  std::fill_n(inverse, stride, -1);
  if (columns < 0 || columns > stride) return false;
  std::vector<T> cost(rows * columns);
  const T* const first = batch.cost.as<T>() + index * rows * stride;
  for (std::int64_t row = 0; row < rows; ++row) std::copy_n(first + row * stride, columns, cost.data() + row * columns);
  try {
    const Assignment best =
        assign(std::span<const T>(cost), rows, columns, batch.maximise ? Objective::maximise : Objective::minimise);
    std::copy(best.column_of_row.begin(), best.column_of_row.end(), result);
    for (std::int64_t row = 0; row < rows; ++row)
      if (result[row] >= 0) inverse[result[row]] = row;
    return true;
  } catch (const NonFiniteError&) {
    return false;
  }
}

}  // namespace

AssignmentBatch assign_batch(const Tensor& cost, const Tensor& columns, Objective objective) {
  check_inputs(cost, columns);
  autograd::not_differentiable("assign_batch", {cost});
  const std::int64_t problems = cost.size(0), rows = cost.size(1);
  const AssignmentBatch result{Tensor::empty({problems, rows}, DType::i64, cost.device()),
                               Tensor::empty({problems, cost.size(2)}, DType::i64, cost.device()),
                               Tensor::empty({problems}, DType::i32, cost.device())};
  assign_detail::Batch batch{.cost = cost.view(),
                             .columns = columns ? columns.view() : View{},
                             .column_of_row = result.column_of_row.view(),
                             .row_of_column = result.row_of_column.view(),
                             .failed = result.failed.view(),
                             .scratch = {},
                             .maximise = objective == Objective::maximise};
  on_device(
      cost.device(),
      [&] {
        for (std::int64_t b = 0; b < problems; ++b) {
          const bool solved = cost.dtype() == DType::f32 ? assign_one<float>(batch, b) : assign_one<double>(batch, b);
          result.failed.data<std::int32_t>()[b] = solved ? 0 : 1;
        }
      },
      [&](StreamHandle stream) {
        const std::int64_t bytes = problems * assign_detail::scratch_bytes(rows, cost.size(2));
        const Tensor scratch = Tensor::empty({bytes}, DType::u8, cost.device());
        batch.scratch = scratch.view();
        assign_detail::assign_batch_cuda(batch, stream);
      });
  return result;
}

void AssignmentBatch::check() const {
  const Tensor on_host = to_device(failed, {});
  for (std::int64_t b = 0; b < on_host.numel(); ++b) {
    visage::check<NonFiniteError>(
        on_host.data<std::int32_t>()[b] == 0, "assign_batch: problem ", b,
        " has an entry that is not a number, or no assignment that avoids its forbidden pairs");
  }
}

}  // namespace visage::ops
