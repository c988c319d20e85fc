#include "models/mask2former/criterion.h"

#include "ops/assign/hungarian.h"
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

Tensor label_tensor(const std::vector<std::int64_t>& labels, Device device) {
  Tensor t = Tensor::empty({static_cast<std::int64_t>(labels.size())}, DType::i64);
  std::copy(labels.begin(), labels.end(), t.data<std::int64_t>());
  return to_device(t, device);
}

// The masks of the `count` matched instances, frame by frame, u8 [count, H, W].
Tensor stack_masks(std::span<const FrameTargets> targets, std::span<const FrameMatch> matches, std::int64_t count,
                   Device device) {
  const Dims& size = targets[0].masks.size();
  const std::int64_t area = size[1] * size[2];
  Tensor all = Tensor::empty({count, size[1], size[2]}, DType::u8);
  std::uint8_t* out = all.data<std::uint8_t>();
  for (std::size_t n = 0; n < targets.size(); ++n)
    for (const std::int64_t instance : matches[n].instances)
      out = std::copy_n(targets[n].masks.data<std::uint8_t>() + instance * area, area, out);
  return to_device(all, device);
}

FrameMatch assign(const Tensor& cost) {
  const ops::Assignment best = ops::assign(to_device(cost, {}), ops::Objective::minimise);
  FrameMatch match;
  for (std::size_t query = 0; query < best.column_of_row.size(); ++query) {
    if (best.column_of_row[query] < 0) continue;
    match.queries.push_back(static_cast<std::int64_t>(query));
    match.instances.push_back(best.column_of_row[query]);
  }
  return match;
}

}  // namespace

MaskCriterion::MaskCriterion(int num_classes, const CriterionConfig& config)
    : num_classes_(num_classes), config_(config), class_weights_(Tensor::empty({num_classes + 1})) {
  std::fill_n(class_weights_.data<float>(), num_classes, 1.f);
  class_weights_.data<float>()[num_classes] = static_cast<float>(config.no_object_weight);
}

Tensor MaskCriterion::matching_cost(const Tensor& class_logits, const Tensor& mask_embedding,
                                    const Tensor& mask_features, const FrameTargets& target,
                                    const Tensor& points) const {
  const Tensor features = ops::point_sample(mask_features, points);                // [1, P, C]
  const Tensor logits = ops::select(ops::matmul_nt(mask_embedding, features), 0);  // [Q, P]
  const Device device = logits.device();
  const Tensor masks = ops::point_sample_planes(to_device(target.masks, device), points);  // [instances, P]
  return ops::matching_cost(
      class_logits, label_tensor(target.labels, device), logits, masks,
      {.classes = config_.class_weight, .mask = config_.mask_weight, .dice = config_.dice_weight});
}

void MaskCriterion::match(const HeadOutput& head, const Tensor& mask_features, std::span<const FrameTargets> targets,
                          const UniformSource& uniform, CriterionOutput& out) const {
  const autograd::NoGrad constant;
  std::vector<FrameMatch> matches;
  std::vector<Tensor> costs;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const auto frame = static_cast<std::int64_t>(n);
    const Tensor points = to_device(uniform({1, config_.num_points, 2}), mask_features.device());
    costs.push_back(matching_cost(ops::select(head.class_logits, frame), ops::narrow(head.mask_embedding, 0, frame, 1),
                                  ops::narrow(mask_features, 0, frame, 1), targets[n], points));
  }
  // Assigned on the host, when the costs of all frames are queued: it waits for the device once, not once a frame.
  for (std::size_t n = 0; n < targets.size(); ++n)
    matches.push_back(targets[n].count() > 0 ? assign(costs[n]) : FrameMatch{});
  out.matches.push_back(std::move(matches));
  out.costs.push_back(std::move(costs));
}

Tensor MaskCriterion::class_loss(const HeadOutput& head, std::span<const FrameTargets> targets,
                                 std::span<const FrameMatch> matches) const {
  const std::int64_t queries = head.class_logits.size(1);
  std::vector<std::int64_t> labels(targets.size() * queries, num_classes_);
  for (std::size_t n = 0; n < targets.size(); ++n)
    for (std::size_t i = 0; i < matches[n].queries.size(); ++i)
      labels[n * queries + matches[n].queries[i]] = targets[n].labels[matches[n].instances[i]];
  const Device device = head.class_logits.device();
  return ops::weighted_cross_entropy(ops::reshape(head.class_logits, {-1, num_classes_ + 1}),
                                     label_tensor(labels, device), to_device(class_weights_, device));
}

void MaskCriterion::mask_losses(const HeadOutput& head, const Tensor& mask_features,
                                std::span<const FrameTargets> targets, std::span<const FrameMatch> matches,
                                const UniformSource& uniform, double num_masks, const std::string& suffix,
                                CriterionOutput& out) const {
  const Dims& map = mask_features.size();  // [N, h, w, C]
  std::vector<Tensor> rows;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    if (matches[n].queries.empty()) continue;
    const auto frame = static_cast<std::int64_t>(n);
    const Tensor embeddings = ops::gather_rows(ops::select(head.mask_embedding, frame), matches[n].queries);
    const Tensor pixels = ops::reshape(ops::narrow(mask_features, 0, frame, 1), {1, map[1] * map[2], map[3]});
    const Tensor logits = ops::matmul_nt(ops::reshape(embeddings, {1, embeddings.size(0), map[3]}), pixels);
    rows.push_back(ops::reshape(logits, {embeddings.size(0), map[1], map[2]}));
  }
  const Device device = mask_features.device();
  const Tensor logits =
      rows.empty() ? Tensor::zeros({0, map[1], map[2]}, DType::f32, device) : ops::concatenate(rows, 0);
  const std::int64_t count = logits.size(0), points = config_.num_points;
  const auto certain = static_cast<std::int64_t>(config_.importance * static_cast<double>(points));
  const auto draw = [&](std::int64_t n) { return to_device(uniform({count, n, 2}), device); };
  const Tensor candidates = draw(static_cast<std::int64_t>(config_.oversample * static_cast<double>(points)));
  const Tensor random = draw(points - certain);
  const Tensor chosen = ops::uncertain_points(autograd::detach(logits), candidates, random, points);
  const Tensor sampled = ops::point_sample_planes(logits, chosen);
  const Tensor truth = rows.empty() ? Tensor::zeros({0, points}, DType::f32, device)
                                    : ops::point_sample_planes(stack_masks(targets, matches, count, device), chosen);
  out.losses.push_back({"loss_mask" + suffix, config_.mask_weight, ops::sigmoid_ce_loss(sampled, truth, num_masks)});
  out.losses.push_back({"loss_dice" + suffix, config_.dice_weight, ops::dice_loss(sampled, truth, num_masks)});
}

CriterionOutput MaskCriterion::operator()(std::span<const HeadOutput> heads, const Tensor& mask_features,
                                          std::span<const FrameTargets> targets, const UniformSource& uniform,
                                          double world_masks) const {
  check<ShapeError>(!heads.empty() && static_cast<std::int64_t>(targets.size()) == mask_features.size(0),
                    "MaskCriterion: ", targets.size(), " frames of targets for mask features ", mask_features.size());
  double num_masks = world_masks;
  if (num_masks == 0)
    for (const FrameTargets& target : targets) num_masks += static_cast<double>(target.count());
  num_masks = std::max(num_masks, 1.0);
  CriterionOutput out;
  const auto run = [&](const HeadOutput& head, const std::string& suffix) {
    match(head, mask_features, targets, uniform, out);
    const std::vector<FrameMatch>& matches = out.matches.back();
    out.losses.push_back({"loss_ce" + suffix, config_.class_weight, class_loss(head, targets, matches)});
    mask_losses(head, mask_features, targets, matches, uniform, num_masks, suffix, out);
  };
  run(heads.back(), "");
  for (std::size_t k = 0; k + 1 < heads.size(); ++k) run(heads[k], "_" + std::to_string(k));
  return out;
}

}  // namespace visage
