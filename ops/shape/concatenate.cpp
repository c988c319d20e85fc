#include "ops/shape/concatenate.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_kernels.h"
#include "ops/gradient/targets.h"

namespace visage::ops {
namespace {

void check_part(const Tensor& part, const Tensor& first, int axis) {
  Dims expected = first.size();
  if (part.rank() == first.rank()) expected[axis] = part.size(axis);
  check<ShapeError>(part.size() == expected, "concatenate: sizes may differ on axis ", axis, " only; ", first.size(),
                    " and ", part.size());
  check<DTypeError>(part.dtype() == first.dtype(), "concatenate: parts are ", first.dtype(), " and ", part.dtype());
  check<DeviceError>(part.device() == first.device(), "concatenate: all parts must be on one device");
}

/// The place of the part that begins at `start` in the whole.
Tensor window(const Tensor& whole, const Dims& size, int axis, std::int64_t start) {
  return Tensor::alias(whole, size, whole.stride(), start * whole.stride()[axis]);
}

}  // namespace

Tensor concatenate(std::span<const Tensor> parts, int axis) {
  check<ShapeError>(!parts.empty(), "concatenate: there is no part");
  const Tensor& first = parts[0];
  if (axis < 0) axis += first.rank();
  check<ShapeError>(axis >= 0 && axis < first.rank(), "concatenate: no axis ", axis, " in ", first.size());
  check<DTypeError>(first.dtype() == DType::f32 || first.dtype() == DType::bf16, "concatenate: no support for ",
                    first.dtype());
  Dims size = first.size();
  size[axis] = 0;
  std::vector<Dims> sizes;
  for (const Tensor& part : parts) {
    check_part(part, first, axis);
    size[axis] += part.size(axis);
    sizes.push_back(part.size());
  }
  Tensor y = Tensor::empty(size, first.dtype(), first.device());
  std::int64_t written = 0;
  for (const Tensor& part : parts) {
    const gradient_detail::Accumulate args{part.view(), {window(y, part.size(), axis, written).view(), 0}};
    note_work(0, part, part);
    on_device(
        y.device(), [&] { gradient_detail::accumulate_cpu(args); },
        [&](StreamHandle stream) { gradient_detail::accumulate_cuda(args, stream); });
    written += part.size(axis);
  }
  autograd::record("concatenate", parts, y, [sizes = std::move(sizes), axis](const Tensor& gy, Targets targets) {
    std::int64_t start = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      accumulate("concatenate", window(gy, sizes[i], axis, start), targets, i);
      start += sizes[i][axis];
    }
  });
  return y;
}

}  // namespace visage::ops
