#include "ops/optim/adamw.h"

#include "ops/dispatch.h"
#include "ops/optim/gradient_norm.h"
#include "ops/optim/optim_kernels.h"
#include "ops/upload.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace visage::ops {
namespace {

void check_tensor(std::size_t position, const AdamWTensor& tensor, Device device) {
  for (const Tensor* x : {&tensor.parameter, &tensor.gradient, &tensor.exp_avg, &tensor.exp_avg_sq}) {
    check<ShapeError>(*x && x->size() == tensor.parameter.size() && x->is_contiguous(), "adamw_step: tensor ", position,
                      ": parameter, gradient and state must be contiguous and of one size");
    check<DTypeError>(x->dtype() == DType::f32, "adamw_step: tensor ", position,
                      ": parameter, gradient and state must be f32; got ", x->dtype());
    check<DeviceError>(x->device() == device, "adamw_step: tensor ", position,
                       ": parameters, gradients and states must be on one device");
  }
}

void append_spans(const AdamWTensor& tensor, double correction1, std::vector<AdamWSpan>& spans) {
  const auto keep = static_cast<float>(1 - tensor.learning_rate * tensor.weight_decay);
  const auto rate = static_cast<float>(tensor.learning_rate / correction1);
  for (std::int64_t first = 0; first < tensor.parameter.numel(); first += kOptimChunk)
    spans.push_back({tensor.parameter.data<float>() + first, tensor.gradient.data<float>() + first,
                     tensor.exp_avg.data<float>() + first, tensor.exp_avg_sq.data<float>() + first,
                     std::min(kOptimChunk, tensor.parameter.numel() - first), keep, rate});
}

}  // namespace

void adamw_step(std::span<const AdamWTensor> tensors, const AdamWOptions& options) {
  check(options.step >= 1, "adamw_step: steps count from 1; got ", options.step);
  if (tensors.empty()) return;
  check<ShapeError>(static_cast<bool>(tensors[0].parameter), "adamw_step: tensor 0 has no parameter");
  const Device device = tensors[0].parameter.device();
  const auto steps = static_cast<double>(options.step);
  std::vector<AdamWSpan> spans;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    check_tensor(t, tensors[t], device);
    append_spans(tensors[t], 1 - std::pow(options.beta1, steps), spans);
  }
  if (options.clip) check_gradient_clip("adamw_step", options.clip, device);
  AdamWArgs args{.spans = spans.data(),
                 .count = std::ssize(spans),
                 .beta1 = static_cast<float>(options.beta1),
                 .rest1 = static_cast<float>(1 - options.beta1),
                 .beta2 = static_cast<float>(options.beta2),
                 .rest2 = static_cast<float>(1 - options.beta2),
                 .root = static_cast<float>(std::sqrt(1 - std::pow(options.beta2, steps))),
                 .eps = static_cast<float>(options.eps),
                 .gradient_scale = static_cast<float>(options.gradient_scale),
                 .clip = options.clip ? options.clip.data<double>() : nullptr};
  if (Recorder* const recorder = Recorder::current()) {
    double count = 0;
    for (const AdamWSpan& span : spans) count += static_cast<double>(span.count);
    recorder->announce({.bytes = 7 * sizeof(float) * count, .flops = 14 * count});
  }
  on_device(
      device, [&] { adamw_cpu(args); },
      [&](StreamHandle stream) {
        const Tensor list = uploaded(std::span<const AdamWSpan>(spans), device);
        args.spans = list.data<const AdamWSpan>();
        adamw_cuda(args, stream);
      });
  for (const AdamWTensor& tensor : tensors) tensor.parameter.storage()->bump_version();
}

}  // namespace visage::ops
