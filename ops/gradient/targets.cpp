#include "ops/gradient/targets.h"

#include "ops/autocast.h"
#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "tensor/cuda/copy.h"

#include <cstring>

namespace visage::ops {
namespace {

void check_type(const char* op, DType dtype) {
  check<DTypeError>(dtype == DType::f32 || dtype == DType::bf16, op, ": gradients and copies are f32 or bf16; got ",
                    dtype);
}

}  // namespace

View view_or_empty(const Tensor& tensor) { return tensor ? tensor.view() : View{}; }

bool wants(Targets targets, std::size_t i) { return i < targets.size() && targets[i].needed(); }

void accumulate(const char* op, const Tensor& from, Targets targets, std::size_t i, float factor) {
  if (!wants(targets, i)) return;
  check_type(op, from.dtype());
  const gradient_detail::Accumulate args{from.view(), gradient_of(targets, i), factor};
  note_work(static_cast<double>(from.numel()), from, args.gradient.to);
  on_device(
      from.device(), [&] { gradient_detail::accumulate_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
}

void accumulate_rows(const char* op, const Tensor& from, Targets targets, std::size_t i) {
  if (!wants(targets, i)) return;
  check_type(op, from.dtype());
  gradient_detail::SumRows args{from.view(), gradient_of(targets, i), {}};
  note_work(static_cast<double>(from.numel()), from, args.gradient.to);
  on_device(
      from.device(), [&] { gradient_detail::sum_rows_cpu(args); },
      [&](StreamHandle stream) {
        const std::int64_t columns = args.gradient.to.size.numel();
        if (columns == 0) return;
        const std::int64_t slices = gradient_detail::slices_for(from.numel() / columns, columns);
        const Tensor partial = slices > 1 ? Tensor::empty({slices, columns}, DType::f32, from.device()) : Tensor{};
        args.partial = view_or_empty(partial);
        gradient_detail::sum_rows_cuda(args, stream);
      });
}

Tensor relu_gradient(const char* op, const Tensor& gy, const Tensor& y, DType dtype) {
  check_type(op, y.dtype());
  check_type(op, dtype);
  const Tensor result = Tensor::empty(y.size(), dtype, y.device());
  const gradient_detail::Relu args{gy.view(), y.view(), {result.view(), 0}};
  note_work(static_cast<double>(y.numel()), gy, y, result);
  on_device(
      y.device(), [&] { gradient_detail::relu_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::relu_cuda(args, stream); });
  return result;
}

Tensor contiguous_as(const char* op, const Tensor& x, DType dtype) {
  if (x.dtype() == dtype && x.is_contiguous()) return x;
  check_type(op, x.dtype());
  check_type(op, dtype);
  const Tensor result = Tensor::empty(x.size(), dtype, x.device());
  const gradient_detail::Accumulate args{x.view(), {result.view(), 0}};
  note_work(0, x, result);
  on_device(
      x.device(), [&] { gradient_detail::accumulate_cpu(args); },
      [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
  return result;
}

void clear(const Tensor& x) {
  note_work(0, x);
  on_device(
      x.device(), [&] { std::memset(x.view().data, 0, x.nbytes()); },
      [&](StreamHandle) { cuda::clear(x.view().data, x.nbytes()); });
}

Tensor product_input(const char* op, const Tensor& x) {
  return x.dtype() == DType::f32 && autocast_dtype() != DType::f32 ? contiguous_as(op, x, autocast_dtype()) : x;
}

}  // namespace visage::ops
