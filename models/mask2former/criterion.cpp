#include "models/mask2former/criterion.h"

#include "ops/linear/linear.h"
#include "ops/loss/cross_entropy.h"
#include "ops/loss/mask_loss.h"
#include "ops/loss/matching_cost.h"
#include "ops/point_sample/point_sample.h"
#include "ops/shape/concatenate.h"
#include "ops/shape/gather_rows.h"
#include "ops/shape/views.h"
#include "tensor/transfer.h"

#include <algorithm>

namespace visage {
namespace {

Tensor make_class_weights(int num_classes, double no_object, Device device) {
  const Tensor weights = Tensor::ones({num_classes + 1});
  weights.data<float>()[num_classes] = static_cast<float>(no_object);
  return to_device(weights, device);
}

/// x [R, ...] as a matrix of R rows.
Tensor as_rows(const Tensor& x) {
  return ops::reshape(x, {x.size(0), x.numel() / std::max<std::int64_t>(x.size(0), 1)});
}

/// The items of x [R, ...] by index.
Tensor gather_items(const Tensor& x, const Tensor& indices) {
  Dims size = x.size();
  size[0] = indices.numel();
  return ops::reshape(ops::gather_rows(as_rows(x), indices), size);
}

/// Frames of an item, whose maps lie one below the other.
std::int64_t frames_of(const Tensor& mask_features, const BatchTargets& targets) {
  return mask_features.size(0) / targets.instances.items();
}

/// Masks [R, T * H, W] of items as those of their frames, [R * T, H, W].
Tensor as_planes(const Tensor& masks, std::int64_t frames) {
  return ops::reshape(masks, {masks.size(0) * frames, masks.size(1) / frames, masks.size(2)});
}

/// Points [R, P, 2] of items as those of their frames, [R * frames, P, 2].
Tensor in_every_frame(const Tensor& points, std::int64_t frames) {
  if (frames == 1) return points;
  const std::vector<Tensor> copies(frames, points);
  return ops::reshape(ops::concatenate(copies, 1), {points.size(0) * frames, points.size(1), points.size(2)});
}

/// Mask logits [M * T, h, w] of the matched queries, item by item. Neighbouring items with equally many of them, as the
/// frames of a clip are, are one product.
Tensor matched_logits(const HeadOutput& head, const Tensor& mask_features, const ops::RowRanges& instances,
                      const Tensor& queries) {
  const Dims& map = mask_features.size();  // [N * T, h, w, C]
  const std::int64_t count = instances.items(), frames = map[0] / count;
  const Tensor embeddings = ops::gather_rows(ops::reshape(head.mask_embedding, {-1, map[3]}), queries);
  const auto matched = [&](std::int64_t n) { return std::min(instances.count(n), head.mask_embedding.size(1)); };
  std::vector<Tensor> logits;
  for (std::int64_t n = 0, row = 0; n < count;) {
    std::int64_t items = 1;
    while (n + items < count && matched(n + items) == matched(n)) ++items;
    const std::int64_t rows = items * matched(n);
    if (rows > 0) {
      const Tensor own = ops::reshape(ops::narrow(embeddings, 0, row, rows), {items, matched(n), map[3]});
      const Tensor pixels = ops::reshape(ops::narrow(mask_features, 0, n * frames, items * frames),
                                         {items, frames * map[1] * map[2], map[3]});
      logits.push_back(ops::reshape(ops::matmul_nt(own, pixels), {rows * frames, map[1], map[2]}));
    }
    n += items;
    row += rows;
  }
  if (logits.empty()) return Tensor::zeros({0, map[1], map[2]}, DType::f32, mask_features.device());
  return logits.size() == 1 ? logits[0] : ops::concatenate(logits, 0);
}

}  // namespace

MaskCriterion::MaskCriterion(int num_classes, const CriterionConfig& config, Device device)
    : num_classes_(num_classes),
      config_(config),
      class_weights_(make_class_weights(num_classes, config.no_object_weight, device)) {}

Tensor MaskCriterion::matching_cost(const HeadOutput& head, const Tensor& mask_features, const BatchTargets& targets,
                                    const Points& draw) const {
  const std::int64_t items = targets.instances.items(), frames = frames_of(mask_features, targets);
  const Tensor points = draw(PointDraw::Use::matching, items, config_.num_points);
  const Tensor sampled = ops::point_sample(mask_features, in_every_frame(points, frames));  // [N * T, P, C]
  const Tensor logits =
      ops::matmul_nt(head.mask_embedding, ops::reshape(sampled, {items, frames * points.size(1), sampled.size(2)}));
  const Tensor points_of_masks = gather_items(points, targets.instances.item_of_row());
  const Tensor sampled_masks =
      ops::point_sample_planes(as_planes(targets.masks, frames), in_every_frame(points_of_masks, frames));
  const Tensor masks = ops::reshape(sampled_masks, {targets.instances.rows(), frames * points.size(1)});
  return ops::matching_cost(
      head.class_logits, logits, targets.instances, targets.labels, masks,
      {.classes = config_.class_weight, .mask = config_.mask_weight, .dice = config_.dice_weight});
}

void MaskCriterion::mask_losses(const HeadOutput& head, const Tensor& mask_features, const BatchTargets& targets,
                                const ops::MatchedRows& matches, const Points& draw, double num_masks,
                                const std::string& suffix, CriterionOutput& out) const {
  const Tensor logits = matched_logits(head, mask_features, targets.instances, matches.queries);
  const std::int64_t count = logits.size(0), points = config_.num_points;
  const auto certain = static_cast<std::int64_t>(config_.importance * static_cast<double>(points));
  const Tensor candidates = draw(PointDraw::Use::candidates, count,
                                 static_cast<std::int64_t>(config_.oversample * static_cast<double>(points)));
  const Tensor random = draw(PointDraw::Use::random, count, points - certain);
  const Tensor chosen = ops::uncertain_points(autograd::detach(logits), candidates, random, points);
  const Tensor sampled = ops::point_sample_planes(logits, chosen);
  const Tensor masks = as_planes(gather_items(targets.masks, matches.instances), frames_of(mask_features, targets));
  const Tensor truth = ops::point_sample_planes(masks, chosen);
  out.losses.push_back({"loss_mask" + suffix, config_.mask_weight, ops::sigmoid_ce_loss(sampled, truth, num_masks)});
  out.losses.push_back({"loss_dice" + suffix, config_.dice_weight, ops::dice_loss(sampled, truth, num_masks)});
}

CriterionOutput MaskCriterion::operator()(std::span<const HeadOutput> heads, const Tensor& mask_features,
                                          const BatchTargets& targets, const UniformSource& uniform,
                                          const BatchShare& share) const {
  const std::int64_t items = targets.instances.items();
  check<ShapeError>(!heads.empty() && heads[0].mask_embedding.size(0) == items && mask_features.size(0) % items == 0,
                    "MaskCriterion: targets of ", items, " items for mask features ", mask_features.size());
  const std::int64_t frames = frames_of(mask_features, targets);
  const double num_masks =
      std::max(share.instances > 0 ? share.instances : static_cast<double>(targets.instances.rows()), 1.0);
  CriterionOutput out;
  const auto run = [&](const HeadOutput& head, const std::string& suffix) {
    const Points draw = [&, index = out.costs.size()](PointDraw::Use use, std::int64_t rows, std::int64_t points) {
      const std::int64_t first = use == PointDraw::Use::matching ? share.first_item : share.first_match * frames;
      return to_device(uniform({rows, points, 2}, {use, index, first}), mask_features.device());
    };
    {
      const autograd::NoGrad constant;
      out.costs.push_back(matching_cost(head, mask_features, targets, draw));
      const ops::AssignmentBatch pairs = ops::assign_batch(out.costs.back(), targets.instances.counts());
      out.matches.push_back(ops::matched_rows(pairs, targets.instances, targets.labels, num_classes_));
    }
    const ops::MatchedRows& matches = out.matches.back();
    out.losses.push_back({"loss_ce" + suffix, config_.class_weight * share.class_weight,
                          ops::weighted_cross_entropy(head.class_logits, matches.classes, class_weights_)});
    mask_losses(head, mask_features, targets, matches, draw, num_masks, suffix, out);
  };
  run(heads.back(), "");
  for (std::size_t k = 0; k + 1 < heads.size(); ++k) run(heads[k], "_" + std::to_string(k));
  return out;
}

}  // namespace visage
