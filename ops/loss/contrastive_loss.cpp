#include "ops/loss/contrastive_loss.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/loss/loss_kernels.h"

#include <algorithm>

namespace visage::ops {
namespace {

struct Kernels {
  const char* op;
  double (*sum)(const EmbeddingPair&);
  void (*backward)(const EmbeddingPair&, double, float* const*, float* const*);
};

constexpr Kernels kContrastive{"contrastive_loss", contrastive_sum_cpu, contrastive_backward_cpu};
constexpr Kernels kCosine{"cosine_loss", cosine_sum_cpu, cosine_backward_cpu};

void check_indices(const char* op, const char* name, const Tensor& x, std::size_t pair, std::int64_t frame,
                   const std::vector<std::int64_t>& indices) {
  check<ShapeError>(frame >= 0 && frame < x.size(0), op, ": pair ", pair, ": ", name, " has no frame ", frame, " of ",
                    x.size(0));
  for (const std::int64_t index : indices)
    check<ShapeError>(index >= 0 && index < x.size(1), op, ": pair ", pair, ": ", name, " has no row ", index, " of ",
                      x.size(1));
}

void check_inputs(const char* op, const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                  double num_anchors) {
  check<ShapeError>(key.rank() == 3 && reference.rank() == 3 && key.size(2) == reference.size(2) &&
                        key.is_contiguous() && reference.is_contiguous(),
                    op, ": key and reference must be contiguous [F,Q,C] with one C; got ", key.size(), " and ",
                    reference.size());
  check<DTypeError>(key.dtype() == DType::f32 && reference.dtype() == DType::f32, op,
                    ": key and reference must be f32; got ", key.dtype(), " and ", reference.dtype());
  check(num_anchors > 0, op, ": num_anchors must be positive; got ", num_anchors);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    check<ShapeError>(pairs[i].key_index.size() == pairs[i].reference_index.size(), op, ": pair ", i, " has ",
                      pairs[i].key_index.size(), " key and ", pairs[i].reference_index.size(), " reference rows");
    check_indices(op, "key", key, i, pairs[i].key_frame, pairs[i].key_index);
    check_indices(op, "reference", reference, i, pairs[i].reference_frame, pairs[i].reference_index);
  }
}

/// Addresses of rows of x [F,Q,C]; empty if there is no x.
template <class T>
std::vector<T*> rows_of(const View& x, std::int64_t frame, const std::vector<std::int64_t>& indices) {
  std::vector<T*> rows;
  if (!x) return rows;
  for (const std::int64_t index : indices) rows.push_back(x.as<T>() + (frame * x.size[1] + index) * x.size[2]);
  return rows;
}

/// Calls fn(rows of the pair, the pair) for every pair that has an anchor.
template <class Fn>
void for_pairs(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs, Fn&& fn) {
  for (const AnchorPair& pair : pairs) {
    if (pair.key_index.empty()) continue;
    const auto keys = rows_of<const float>(key.view(), pair.key_frame, pair.key_index);
    const auto references = rows_of<const float>(reference.view(), pair.reference_frame, pair.reference_index);
    fn(EmbeddingPair{keys.data(), references.data(), std::ssize(keys), key.size(2)}, pair);
  }
}

void clear_if_overwritten(const Gradient& gradient) {
  if (gradient && gradient.beta == 0) std::fill_n(gradient.to.as<float>(), gradient.to.size.numel(), 0.f);
}

Tensor run(const Kernels& kernels, const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
           double num_anchors) {
  check_inputs(kernels.op, key, reference, pairs, num_anchors);
  Tensor loss = Tensor::empty({1}, DType::f32, key.device());
  on_cpu(kernels.op, key.device(), [&] {
    double sum = 0;
    for_pairs(key, reference, pairs, [&](const EmbeddingPair& rows, const AnchorPair&) { sum += kernels.sum(rows); });
    *loss.data<float>() = static_cast<float>(sum / num_anchors);
  });
  const Tensor inputs[] = {key, reference};
  const auto backward = [=, kept = std::vector<AnchorPair>(pairs.begin(), pairs.end())](
                            const Tensor& g, std::span<const autograd::GradTarget> targets) {
    on_cpu(kernels.op, g.device(), [&] {
      const Gradient gkey = gradient_of(targets, 0), greference = gradient_of(targets, 1);
      clear_if_overwritten(gkey);
      clear_if_overwritten(greference);
      const double factor = static_cast<double>(*g.data<float>()) / num_anchors;
      for_pairs(key, reference, kept, [&](const EmbeddingPair& rows, const AnchorPair& pair) {
        const auto to_key = rows_of<float>(gkey.to, pair.key_frame, pair.key_index);
        const auto to_reference = rows_of<float>(greference.to, pair.reference_frame, pair.reference_index);
        kernels.backward(rows, factor, gkey ? to_key.data() : nullptr, greference ? to_reference.data() : nullptr);
      });
    });
  };
  autograd::record(kernels.op, inputs, loss, backward);
  return loss;
}

}  // namespace

Tensor contrastive_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                        double num_anchors) {
  return run(kContrastive, key, reference, pairs, num_anchors);
}

Tensor cosine_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs, double num_anchors) {
  return run(kCosine, key, reference, pairs, num_anchors);
}

}  // namespace visage::ops
