#include "ops/loss/cross_entropy.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/loss/loss_kernels.h"

namespace visage::ops {

void loss_detail::check_labels(const char* op, const Tensor& labels, std::int64_t classes) {
  check<DTypeError>(labels.dtype() == DType::i64 && labels.is_contiguous(), op, ": labels must be contiguous i64; got ",
                    labels.dtype());
  if (labels.device().type != DeviceType::cpu) return;
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    const std::int64_t label = labels.data<std::int64_t>()[i];
    check(label >= 0 && label < classes, op, ": label ", label, " at position ", i, " is not in [0, ", classes, ")");
  }
}

Tensor weighted_cross_entropy(const Tensor& logits, const Tensor& labels, const Tensor& class_weights) {
  check<ShapeError>(logits.rank() >= 1 && logits.size(-1) > 0 && logits.is_contiguous(),
                    "weighted_cross_entropy: logits must be contiguous [..., K], K > 0; got ", logits.size());
  Dims rows = logits.size();
  const std::int64_t classes = rows[-1];
  rows = {};
  for (int i = 0; i + 1 < logits.rank(); ++i) rows.append(logits.size(i));
  check<ShapeError>(labels.size() == rows && class_weights.size() == Dims{classes} && class_weights.is_contiguous(),
                    "weighted_cross_entropy: labels must be ", rows, " and class_weights [", classes, "]; got ",
                    labels.size(), " and ", class_weights.size());
  check<DTypeError>(logits.dtype() == DType::f32 && class_weights.dtype() == DType::f32,
                    "weighted_cross_entropy: logits and class_weights must be f32; got ", logits.dtype(), " and ",
                    class_weights.dtype());
  check<DeviceError>(labels.device() == logits.device() && class_weights.device() == logits.device(),
                     "weighted_cross_entropy: logits, labels and class_weights must be on one device");
  loss_detail::check_labels("weighted_cross_entropy", labels, classes);
  autograd::not_differentiable("weighted_cross_entropy", {class_weights});
  Tensor loss = Tensor::empty({1}, DType::f32, logits.device()), sums;
  CrossEntropyArgs args{logits.view(), labels.view(), class_weights.view(), loss.view(), {}, {}, {}};
  note_work(5.0 * static_cast<double>(logits.numel()), logits, labels, class_weights);
  on_device(
      logits.device(), [&] { weighted_cross_entropy_cpu(args); },
      [&](StreamHandle stream) {
        sums = Tensor::empty({kCrossEntropySums}, DType::f64, logits.device());
        args.sums = sums.view();
        weighted_cross_entropy_cuda(args, stream);
      });
  autograd::record("weighted_cross_entropy", std::span(&logits, 1), loss,
                   [=](const Tensor& g, std::span<const autograd::GradTarget> to) {
                     CrossEntropyArgs back{
                         logits.view(), labels.view(), class_weights.view(), {}, g.view(), gradient_of(to, 0), {}};
                     note_work(5.0 * static_cast<double>(logits.numel()), logits, labels, back.glogits.to);
                     on_device(
                         g.device(), [&] { weighted_cross_entropy_backward_cpu(back); },
                         [&](StreamHandle stream) {
                           back.sums = sums.view();
                           weighted_cross_entropy_backward_cuda(back, stream);
                         });
                   });
  return loss;
}

}  // namespace visage::ops
