#include "ops/optim/adamw.h"

#include "ops/dispatch.h"
#include "ops/optim/optim_kernels.h"

#include <algorithm>
#include <vector>

namespace visage::ops {
namespace {

void check_tensor(std::size_t position, const AdamWTensor& tensor) {
  for (const Tensor* x : {&tensor.parameter, &tensor.gradient, &tensor.exp_avg, &tensor.exp_avg_sq}) {
    check<ShapeError>(*x && x->size() == tensor.parameter.size() && x->is_contiguous(), "adamw_step: tensor ", position,
                      ": parameter, gradient and state must be contiguous and of one size");
    check<DTypeError>(x->dtype() == DType::f32, "adamw_step: tensor ", position,
                      ": parameter, gradient and state must be f32; got ", x->dtype());
    check<DeviceError>(x->device() == tensor.parameter.device(), "adamw_step: tensor ", position,
                       ": parameter, gradient and state must be on one device");
  }
}

}  // namespace

void adamw_step(std::span<const AdamWTensor> tensors, const AdamWOptions& options) {
  check(options.step >= 1, "adamw_step: steps count from 1; got ", options.step);
  std::vector<AdamWSpan> spans;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const AdamWTensor& tensor = tensors[t];
    check_tensor(t, tensor);
    on_cpu("adamw_step", tensor.parameter.device(), [&] {
      for (std::int64_t first = 0; first < tensor.parameter.numel(); first += kOptimChunk)
        spans.push_back({tensor.parameter.data<float>() + first, tensor.gradient.data<float>() + first,
                         tensor.exp_avg.data<float>() + first, tensor.exp_avg_sq.data<float>() + first,
                         std::min(kOptimChunk, tensor.parameter.numel() - first), tensor.learning_rate,
                         tensor.weight_decay});
    });
  }
  adamw_cpu({spans.data(), std::ssize(spans), options.step, options.beta1, options.beta2, options.eps,
             options.gradient_scale});
  for (const AdamWTensor& tensor : tensors) tensor.parameter.storage()->bump_version();
}

}  // namespace visage::ops
