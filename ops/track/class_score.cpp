#include "ops/track/class_score.h"

#include "autograd/tape.h"
#include "ops/dispatch.h"
#include "ops/track/class_score_kernels.h"

namespace visage::ops {

Tensor max_class_score(const Tensor& logits) {
  check<ShapeError>(logits && logits.rank() == 2 && logits.size(1) >= 2 && logits.is_contiguous(),
                    "max_class_score: logits must be contiguous [Q,C+1] with C >= 1; got ",
                    logits ? logits.size() : Dims{});
  check<DTypeError>(logits.dtype() == DType::f32, "max_class_score: logits must be f32; got ", logits.dtype());
  autograd::not_differentiable("max_class_score", {logits});
  Tensor out = Tensor::empty({logits.size(0)}, DType::f32, logits.device());
  const ClassScoreArgs args{.logits = logits.view(), .out = out.view()};
  note_work(5.0 * static_cast<double>(logits.numel()), logits, out);
  on_device(
      logits.device(), [&] { max_class_score_cpu(args); },
      [&](StreamHandle stream) { max_class_score_cuda(args, stream); });
  return out;
}

}  // namespace visage::ops
