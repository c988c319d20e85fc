#include "ops/optim/gradient_norm.h"

#include "ops/dispatch.h"
#include "ops/optim/optim_kernels.h"
#include "ops/upload.h"
#include "tensor/transfer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace visage::ops {

namespace {

struct Spans {
  std::vector<FloatSpan> list;
  Device device;
};

Spans spans_of(const char* op, std::span<const Tensor> tensors) {
  Spans spans;
  bool first_tensor = true;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const Tensor& tensor = tensors[t];
    if (!tensor) continue;
    check<DTypeError>(tensor.dtype() == DType::f32, op, ": tensor ", t, " must be f32; got ", tensor.dtype());
    check<ShapeError>(tensor.is_contiguous(), op, ": tensor ", t, " must be contiguous; size ", tensor.size(),
                      ", stride ", tensor.stride());
    if (first_tensor) spans.device = tensor.device();
    first_tensor = false;
    check<DeviceError>(tensor.device() == spans.device, op, ": tensor ", t, " is on another device");
    for (std::int64_t first = 0; first < tensor.numel(); first += kOptimChunk)
      spans.list.push_back({tensor.data<float>() + first, std::min(kOptimChunk, tensor.numel() - first)});
  }
  return spans;
}

/// f64 [2] on the device of the spans.
Tensor norm_and_coefficient(const Spans& spans, double max_norm) {
  Tensor result = Tensor::empty({2}, DType::f64, spans.device);
  const std::int64_t count = std::ssize(spans.list);
  if (Recorder* const recorder = Recorder::current()) {
    double elements = 0;
    for (const FloatSpan& span : spans.list) elements += static_cast<double>(span.count);
    recorder->announce({.bytes = sizeof(float) * elements, .flops = 2 * elements});
  }
  on_device(
      spans.device,
      [&] {
        const double norm = std::sqrt(sum_of_squares_cpu(spans.list.data(), count));
        result.data<double>()[0] = norm;
        result.data<double>()[1] =
            std::isfinite(norm) ? clip_coefficient(norm, max_norm) : std::numeric_limits<double>::quiet_NaN();
      },
      [&](StreamHandle stream) {
        const Tensor list = uploaded(std::span<const FloatSpan>(spans.list), spans.device);
        const Tensor partial = Tensor::empty({count * kNormParts}, DType::f64, spans.device);
        norm_cuda(list.data<const FloatSpan>(), count, max_norm, partial.data<double>(), result.data<double>(), stream);
      });
  return result;
}

}  // namespace

double global_norm(std::span<const Tensor> tensors) {
  return *to_device(norm_and_coefficient(spans_of("global_norm", tensors), 1), {}).data<double>();
}

Tensor gradient_clip(std::span<const Tensor> gradients, double max_norm) {
  check<UsageError>(max_norm >= 0, "gradient_clip: max_norm must not be negative; got ", max_norm);
  return norm_and_coefficient(spans_of("gradient_clip", gradients), max_norm);
}

void check_gradient_clip(const char* op, const Tensor& clip, Device device) {
  check<ShapeError>(clip.size() == Dims{2} && clip.is_contiguous(), op, ": clip must be [2]; got ", clip.size());
  check<DTypeError>(clip.dtype() == DType::f64, op, ": clip must be f64; got ", clip.dtype());
  check<DeviceError>(clip.device() == device, op, ": clip must be on the device of the tensors");
}

double clip_coefficient(double norm, double max_norm) { return std::min(1., max_norm / (norm + 1e-6)); }

std::optional<std::size_t> first_non_finite(std::span<const Tensor> tensors) {
  for (std::size_t t = 0; t < tensors.size(); ++t)
    if (tensors[t] && !std::isfinite(global_norm(tensors.subspan(t, 1)))) return t;
  return std::nullopt;
}

}  // namespace visage::ops
