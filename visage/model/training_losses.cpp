#include "visage/model/training_losses.h"

#include "ops/elementwise/elementwise.h"
#include "ops/loss/contrastive_loss.h"
#include "ops/resize/resize.h"
#include "tensor/stage_timer.h"

namespace visage {
namespace {

// The instances that frames t - 1 and t both show, and the queries that explain them there.
ops::AnchorPair common_instances(std::span<const FrameTargets> targets, std::span<const FrameMatch> matches,
                                 std::int64_t frame) {
  ops::AnchorPair pair{.key_frame = frame - 1, .reference_frame = frame, .key_index = {}, .reference_index = {}};
  const auto query_of = [&](std::int64_t at, std::int64_t instance) -> std::int64_t {
    for (std::size_t i = 0; i < matches[at].instances.size(); ++i)
      if (matches[at].instances[i] == instance && targets[at].ids[instance] >= 0) return matches[at].queries[i];
    return -1;
  };
  for (std::int64_t instance = 0; instance < targets[frame].count(); ++instance) {
    const std::int64_t before = query_of(frame - 1, instance), now = query_of(frame, instance);
    if (before < 0 || now < 0) continue;
    pair.key_index.push_back(before);
    pair.reference_index.push_back(now);
  }
  return pair;
}

std::vector<ops::AnchorPair> anchor_pairs(std::span<const FrameTargets> targets, std::span<const FrameMatch> matches,
                                          std::int64_t frames) {
  std::vector<ops::AnchorPair> pairs;
  for (std::int64_t n = 0; n < static_cast<std::int64_t>(targets.size()); ++n)
    if (n % frames != 0) pairs.push_back(common_instances(targets, matches, n));
  return pairs;
}

// Mask logits of all queries at the sizes of the appearance levels: the embedding times the resized features.
std::vector<Tensor> level_masks(const Tensor& mask_embedding, const Tensor& mask_features,
                                const BackboneFeatures& features, std::size_t levels) {
  const autograd::NoGrad constant;
  std::vector<Tensor> masks;
  for (std::size_t level = 0; level < levels; ++level) {
    const Tensor& map = features[level + 1];
    masks.push_back(mask_logits(mask_embedding, ops::resize_bilinear(mask_features, map.size(1), map.size(2))));
  }
  return masks;
}

}  // namespace

TrainingLosses training_losses(const Model& model, const Tensor& images, std::span<const FrameTargets> targets,
                               std::int64_t frames, const UniformSource& uniform, const TrainingLossConfig& config) {
  check<ShapeError>(frames > 0 && images.size(0) % frames == 0, "training_losses: ", images.size(0),
                    " images are no clips of ", frames, " frames");
  const auto stage = [](const char* name, const auto& run) {
    const StageTimer timer(name);
    return run();
  };
  const BackboneFeatures features = stage("backbone", [&] { return model.backbone()(images, config.backbone); });
  const PixelFeatures pixel = stage("pixel decoder", [&] { return model.pixel_decoder()(features, config.encoder); });
  const DecoderOutput decoded = stage("masked decoder", [&] { return model.decoder()(pixel, MaskDetail::embeddings); });
  TrainingLosses out;
  out.criterion = stage("matching and mask losses", [&] {
    const MaskCriterion criterion(model.config().detector.num_classes, config.masks);
    return criterion(decoded.heads, pixel.mask_features, targets, uniform);
  });
  out.terms = out.criterion.losses;

  const AppearanceOutput embedded = stage("appearance", [&] {
    return model.appearance()(decoded.embeddings, features,
                              level_masks(decoded.heads.back().mask_embedding, pixel.mask_features, features,
                                          model.appearance().projections().size()));
  });
  const StageTimer timer("contrastive losses");
  const std::vector<ops::AnchorPair> pairs = anchor_pairs(targets, out.criterion.matches.front(), frames);
  double anchors = 0;
  for (const ops::AnchorPair& pair : pairs) anchors += static_cast<double>(pair.key_index.size());
  anchors = std::max(anchors, 1.0);
  const auto add_branch = [&](const Tensor& embedding, const std::string& suffix) {
    out.terms.push_back(
        {"loss_reid" + suffix, config.contrastive_weight, ops::contrastive_loss(embedding, embedding, pairs, anchors)});
    out.terms.push_back(
        {"loss_aux_reid" + suffix, config.cosine_weight, ops::cosine_loss(embedding, embedding, pairs, anchors)});
  };
  add_branch(embedded.object, "");
  add_branch(embedded.appearance, "_app");

  std::vector<Tensor> values;
  std::vector<float> weights;
  for (const LossTerm& term : out.terms) {
    values.push_back(term.value);
    weights.push_back(static_cast<float>(term.weight));
  }
  out.total = ops::weighted_sum(values, weights);
  return out;
}

}  // namespace visage
