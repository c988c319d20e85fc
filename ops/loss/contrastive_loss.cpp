#include "ops/loss/contrastive_loss.h"

#include "ops/dispatch.h"
#include "ops/gradient/gradient_of.h"
#include "ops/loss/loss_kernels.h"
#include "ops/upload.h"

#include <algorithm>
#include <utility>

namespace visage::ops {
namespace {

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
  check<DeviceError>(key.device() == reference.device(), op, ": key and reference must be on one device");
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

void forward_cpu(EmbeddingLoss kind, const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                 double num_anchors, const Tensor& loss) {
  double sum = 0;
  for_pairs(key, reference, pairs, [&](const EmbeddingPair& rows, const AnchorPair&) {
    sum += kind == EmbeddingLoss::cosine ? cosine_sum_cpu(rows) : contrastive_sum_cpu(rows);
  });
  *loss.data<float>() = static_cast<float>(sum / num_anchors);
}

void backward_cpu(const EmbeddingArgs& args, const Tensor& key, const Tensor& reference,
                  std::span<const AnchorPair> pairs) {
  clear_if_overwritten(args.gkey);
  clear_if_overwritten(args.greference);
  const double factor = static_cast<double>(*args.gloss.as<float>()) / args.num_anchors;
  const auto backward = args.kind == EmbeddingLoss::cosine ? cosine_backward_cpu : contrastive_backward_cpu;
  for_pairs(key, reference, pairs, [&](const EmbeddingPair& rows, const AnchorPair& pair) {
    const auto to_key = rows_of<float>(args.gkey.to, pair.key_frame, pair.key_index);
    const auto to_reference = rows_of<float>(args.greference.to, pair.reference_frame, pair.reference_index);
    backward(rows, factor, args.gkey ? to_key.data() : nullptr, args.greference ? to_reference.data() : nullptr);
  });
}

/// The lists of AnchorLists in GPU memory.
struct UploadedLists {
  Tensor memory;
  AnchorLists lists;
  std::int64_t products = 0;
};

/// Appends, for every row of an embedding, where its anchors start and then the anchors themselves.
void append_by_row(std::vector<std::int64_t>& all, const std::vector<std::int64_t>& row_of_anchor, std::int64_t rows) {
  const std::size_t first = all.size();
  all.resize(first + rows + 1, 0);
  for (const std::int64_t row : row_of_anchor) ++all[first + row + 1];
  for (std::int64_t row = 0; row < rows; ++row) all[first + row + 1] += all[first + row];
  std::vector<std::int64_t> next(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
  const std::size_t list = all.size();
  all.resize(list + row_of_anchor.size());
  for (std::size_t a = 0; a < row_of_anchor.size(); ++a)
    all[list + next[row_of_anchor[a]]++] = static_cast<std::int64_t>(a);
}

UploadedLists upload_lists(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs) {
  UploadedLists result;
  std::vector<std::int64_t> first_product, first_anchor{0}, pair_of, key_row, reference_row;
  std::int64_t most = 0;
  for (const AnchorPair& pair : pairs) {
    const std::int64_t count = std::ssize(pair.key_index);
    for (std::int64_t i = 0; i < count; ++i) {
      pair_of.push_back(std::ssize(first_product));
      key_row.push_back(pair.key_frame * key.size(1) + pair.key_index[i]);
      reference_row.push_back(pair.reference_frame * reference.size(1) + pair.reference_index[i]);
    }
    first_product.push_back(result.products);
    first_anchor.push_back(std::ssize(pair_of));
    result.products += count * count;
    most = std::max(most, count);
  }
  const std::int64_t key_rows = key.size(0) * key.size(1), reference_rows = reference.size(0) * reference.size(1);
  const std::int64_t anchors = std::ssize(pair_of);
  std::vector<std::int64_t> all;
  for (const auto* list : {&first_product, &first_anchor, &pair_of, &key_row, &reference_row})
    all.insert(all.end(), list->begin(), list->end());
  append_by_row(all, key_row, key_rows);
  append_by_row(all, reference_row, reference_rows);
  all.push_back(0);  // an empty last list has an address, too
  result.memory = uploaded(std::span<const std::int64_t>(all), key.device());
  const auto* next = result.memory.data<const std::int64_t>();
  const auto take = [&](std::int64_t count) { return std::exchange(next, next + count); };
  AnchorLists& lists = result.lists;
  lists = {.pairs = std::ssize(pairs),
           .anchors = anchors,
           .most = most,
           .key_rows = key_rows,
           .reference_rows = reference_rows,
           .first_product = take(std::ssize(pairs)),
           .first_anchor = take(std::ssize(pairs) + 1),
           .pair_of = take(anchors),
           .key_row = take(anchors),
           .reference_row = take(anchors),
           .key_first = take(key_rows + 1),
           .key_anchor = take(anchors),
           .reference_first = take(reference_rows + 1),
           .reference_anchor = take(anchors)};
  return result;
}

/// Operations of the products of all anchors with all their references.
double cosines(std::span<const AnchorPair> pairs, std::int64_t channels) {
  double products = 0;
  for (const AnchorPair& pair : pairs)
    products += static_cast<double>(pair.key_index.size()) * static_cast<double>(pair.reference_index.size());
  return 2 * products * static_cast<double>(channels);
}

Tensor run(const char* op, EmbeddingLoss kind, const Tensor& key, const Tensor& reference,
           std::span<const AnchorPair> pairs, double num_anchors) {
  check_inputs(op, key, reference, pairs, num_anchors);
  Tensor loss = Tensor::empty({1}, DType::f32, key.device()), state;
  UploadedLists lists;
  EmbeddingArgs args{kind, {}, key.view(), reference.view(), {}, {}, {}, {}, {}, num_anchors};
  note_work(cosines(pairs, key.size(-1)), key, reference);
  on_device(
      key.device(), [&] { forward_cpu(kind, key, reference, pairs, num_anchors, loss); },
      [&](StreamHandle stream) {
        lists = upload_lists(key, reference, pairs);
        state = Tensor::empty({3 * lists.lists.anchors + lists.products}, DType::f64, key.device());
        args.lists = lists.lists;
        args.state = state.view();
        args.loss = loss.view();
        embedding_loss_cuda(args, stream);
      });
  const Tensor inputs[] = {key, reference};
  const auto backward = [=, kept = std::vector<AnchorPair>(pairs.begin(), pairs.end())](
                            const Tensor& g, std::span<const autograd::GradTarget> targets) {
    EmbeddingArgs back{kind, lists.lists, key.view(), reference.view(), {}, {}, g.view(), {}, {}, num_anchors};
    back.gkey = gradient_of(targets, 0);
    back.greference = gradient_of(targets, 1);
    note_work(3 * cosines(kept, key.size(-1)), key, reference, back.gkey.to, back.greference.to);
    on_device(
        g.device(), [&] { backward_cpu(back, key, reference, kept); },
        [&](StreamHandle stream) {
          back.state = state.view();
          embedding_loss_backward_cuda(back, stream);
        });
  };
  autograd::record(op, inputs, loss, backward);
  return loss;
}

}  // namespace

Tensor contrastive_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs,
                        double num_anchors) {
  return run("contrastive_loss", EmbeddingLoss::contrastive, key, reference, pairs, num_anchors);
}

Tensor cosine_loss(const Tensor& key, const Tensor& reference, std::span<const AnchorPair> pairs, double num_anchors) {
  return run("cosine_loss", EmbeddingLoss::cosine, key, reference, pairs, num_anchors);
}

}  // namespace visage::ops
