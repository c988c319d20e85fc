#include "autograd/checkpoint.h"

#include "autograd/tape.h"

namespace visage::autograd {

Tensor checkpoint(std::function<Tensor(const Tensor&)> fn, const Tensor& x) {
  if (!recording()) return fn(x);
  std::vector<Tensor> inputs;  // of the node: everything with a gradient that fn touches
  Tensor y;
  {
    const NoGrad off;
    const InputLog log;
    const Tensor result = fn(x);
    check<AutogradError>(!result.autograd_meta(),
                         "checkpoint: fn returned a tensor that requires a gradient unchanged; do that outside");
    // Nothing may hang on to the history of a tensor that fn keeps.
    y = Tensor::alias(result, result.size(), result.stride());
    inputs = log.tensors();
  }
  record("checkpoint", inputs, y, [fn = std::move(fn), x](const Tensor& gy, std::span<const GradTarget>) {
    // The recorded inputs are those of the first pass, so the inner tape writes to their slots itself.
    Tape inner;
    inner.backward(fn(x), gy);
  });
  return y;
}

}  // namespace visage::autograd
